from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import sigilla as sg
from sigilla.errors import DataError

mpl.use("Agg")


@pytest.fixture(scope="module")
def chosen():
    adata = sg.datasets.simulate_rare_weak(n_obs=100, n_vars=1500, strength=2.5)
    adata.X[:, 7] = 1  # a constant gene is not scored
    sg.pp.influential_features(adata)
    return adata


@pytest.fixture
def ax(chosen):
    return sg.pl.influential_features(chosen)


def drawn(panel):
    """All points of a panel's dots, left to right."""
    parts = [line.get_xydata() for line in panel.get_lines() if line.get_marker() == "."]
    points = np.concatenate(parts)
    return points[np.argsort(points[:, 0])]


def test_the_curve_is_the_stored_functional_and_the_line_stands_at_the_last_gene_kept(chosen, ax):
    curve = np.concatenate([line.get_ydata() for line in ax.get_lines()[:2]])
    np.testing.assert_array_equal(curve, chosen.uns["influential"]["higher_criticism"])
    kept = chosen.uns["influential"]["n_selected"]
    assert all(panel.get_lines()[-1].get_xdata()[0] == kept for panel in (ax, *ax.child_axes))
    assert ax.get_title(loc="left") == f"{kept} of 1,499 genes kept"


def test_genes_stand_in_the_order_of_their_pvalues_with_their_scores(chosen, ax):
    pvalues, scores = ax.child_axes
    order = chosen.var.dropna().sort_values("if_score", ascending=False)
    np.testing.assert_array_equal(drawn(scores)[:, 1], order["if_score"])
    positive = order["if_pvalue"] > 0
    np.testing.assert_array_equal(drawn(pvalues)[positive, 1], order["if_pvalue"][positive])


def test_without_evidence_the_title_says_so():
    adata = sg.datasets.simulate_rare_weak(n_obs=80, n_vars=500, strength=0.0)
    sg.pp.influential_features(adata, key_added="noise")
    assert not adata.uns["noise"]["significant"]
    title = sg.pl.influential_features(adata, "noise").get_title(loc="left")
    assert title.endswith("without evidence for any")


def test_it_draws_into_axes_of_the_caller_and_writes_a_file(chosen, tmp_path):
    _, mine = plt.subplots()
    assert sg.pl.influential_features(chosen, ax=mine, save=tmp_path / "if.png") is mine
    assert (tmp_path / "if.png").stat().st_size > 5000


def test_what_is_not_there_is_named(chosen):
    with pytest.raises(KeyError, match=r"key='mine' not found.*influential_features"):
        sg.pl.influential_features(chosen, "mine")
    with pytest.raises(DataError, match="was computed on 1499 genes and adata has 100"):
        sg.pl.influential_features(chosen[:, :101])
    without = chosen.copy()
    del without.var["if_score"]
    with pytest.raises(DataError, match="no column 'if_score'"):
        sg.pl.influential_features(without)


def test_what_the_first_figure_switches_on_stays_on(chosen, monkeypatch):
    """A notebook's backend starts with the first figure, and turns interactive mode on."""
    figure = plt.figure

    def first(*args, **options):
        mpl.rcParams["interactive"] = True
        return figure(*args, **options)

    monkeypatch.setattr(plt, "figure", first)
    with mpl.rc_context():
        sg.pl.influential_features(chosen)
        assert mpl.is_interactive()
