from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import sigilla as sg
from sigilla.errors import DataError

mpl.use("Agg")


@pytest.fixture
def adata(coded):
    return coded(np.random.default_rng(0).normal(size=(3, 8)), ["a", "b", "c"])


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_losses_and_accuracy_are_drawn_as_stored(adata):
    ax = sg.pl.history(adata)
    stored = adata.uns["svqvae"]["history"]
    shown = lines(ax)
    assert {"total", "total, held out", "reconstruction", "divergence"} <= set(shown)
    np.testing.assert_array_equal(shown["divergence"].get_ydata(), stored["divergence"])
    np.testing.assert_array_equal(shown["total, held out"].get_ydata(), stored["val_loss"])
    (below,) = ax.child_axes
    np.testing.assert_array_equal(lines(below)["accuracy"].get_ydata(), stored["accuracy"])
    assert "seconds" not in shown


def test_held_out_lines_are_dashed_and_share_the_colour(adata):
    shown = lines(sg.pl.history(adata))
    assert shown["total, held out"].get_linestyle() == "--"
    assert shown["total, held out"].get_color() == shown["total"].get_color()


def test_the_epoch_that_was_kept_is_marked(adata):
    ax = sg.pl.history(adata)
    best = sg.get.best_epoch(adata)
    assert [t.get_text() for t in ax.texts] == [f"kept: epoch {best}"]
    assert any(list(line.get_xdata()) == [best, best] for line in ax.get_lines())


def test_terms_below_zero_keep_the_axis_linear(adata):
    assert sg.pl.history(adata).get_yscale() == "linear"
    stored = adata.uns["svqvae"]["history"]
    stored["divergence"] = np.full(8, 1e-3)
    assert sg.pl.history(adata).get_yscale() == "log"


def test_a_model_that_was_loaded_has_no_history(adata):
    adata.uns["svqvae"]["history"] = {}
    with pytest.raises(DataError, match="has no history"):
        sg.pl.history(adata)
