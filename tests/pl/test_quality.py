"""The quality of classes as drawn is what is stored or given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError


@pytest.fixture
def adata(coded):
    made = coded(np.random.default_rng(0).normal(size=(3, 9)), ["a", "b", "$c^{$"])
    made = made[:-1].copy()  # the last class has three wells, the others four
    made.obs["tas"] = np.arange(11) / 10
    return made


def panels(ax):
    return {panel.get_xlabel(): panel for panel in [ax, *ax.child_axes]}


def dots(ax):
    (line,) = ax.get_lines()
    return np.column_stack([line.get_ydata(), line.get_xdata()])


def test_bars_are_labels_and_dots_are_nearest_codes_the_largest_class_on_top(adata):
    ax = sg.pl.class_quality(adata)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "$c^{$"]
    assert ax.yaxis_inverted()
    usage = sg.get.class_summary(adata)
    assert [bar.get_width() for bar in ax.patches] == usage["n"].tolist()
    assert dots(ax)[:, 1].tolist() == usage["n_nearest"].tolist()


def test_measures_of_quality_are_medians_and_quartiles_by_label(adata):
    drawn = panels(sg.pl.class_quality(adata))
    assert list(drawn) == ["observations", "nearest to own code", "activity score (TAS)"]
    tas = drawn["activity score (TAS)"]
    np.testing.assert_allclose(dots(tas)[:, 1], [0.15, 0.55, 0.9])
    (ranges,) = tas.collections
    np.testing.assert_allclose(ranges.get_segments()[0][:, 0], [0.075, 0.225])


def test_an_accuracy_that_is_given_is_drawn_with_its_interval(adata):
    given = pd.DataFrame({"value": [0.5], "low": [0.2], "high": [0.7]}, index=["b"])
    held_out = panels(sg.pl.class_quality(adata, accuracy=given))["right when held out"]
    assert dots(held_out).tolist() == [[1, 0.5]]
    (ranges,) = held_out.collections
    np.testing.assert_allclose(ranges.get_segments()[0], [[0.2, 1], [0.7, 1]])


def test_columns_are_those_that_are_there_and_hold_numbers(adata):
    adata.obs["cc_q75"] = np.nan
    adata.obs["distil_cc_q75"] = 0.3
    assert list(panels(sg.pl.class_quality(adata)))[2:] == [
        "activity score (TAS)",
        "replicate correlation",
    ]
    assert list(panels(sg.pl.class_quality(adata, columns=[])))[2:] == []
    with pytest.raises(KeyError, match="columns='tass' not found"):
        sg.pl.class_quality(adata, columns=["tass"])
    with pytest.raises(DataError, match=r"obs\['pcl'\] holds no numbers"):
        sg.pl.class_quality(adata, columns=["pcl"])


def test_classes_of_very_different_size_all_show(adata):
    large = sg.datasets.simulate_lincs(class_sizes=[2, 150], n_genes=9)
    sg.tl.svqvae(large, max_epochs=1)
    assert sg.pl.class_quality(large).get_xscale() == "symlog"
    assert sg.pl.class_quality(adata).get_xscale() == "linear"
