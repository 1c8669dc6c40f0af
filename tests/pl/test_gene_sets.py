"""The dots of pl.gene_sets are the table of get.gene_sets."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import sigilla as sg
from sigilla.errors import DataError

mpl.use("Agg")
CLASSES = ["mTOR/PI3K inhibitor", "<script>", "quiet"]
SETS = ["$up$", "down/a", "nothing", "both"]


@pytest.fixture
def adata(coded):
    """Class 0 raises a set, class 1 lowers one, both move the last, class 2 none."""
    made = coded(np.random.default_rng(0).normal(size=(3, 10)), CLASSES)
    nes = np.array([[2.0, 0.1, -0.3, 1.6], [0.4, -1.9, 0.2, -1.5], [0.1, 0.2, 0.3, 0.4]])
    qvalue = np.array([[1e-6, 0.9, 0.8, 0.03], [0.7, 0.001, 0.8, 0.04], [0.9, 0.9, 0.9, 0.9]])
    made.uns["svqvae"]["gene_sets"] = {
        "names": np.array(SETS, dtype=object),
        "n_genes": np.full(4, 9),
        "n_found": np.full(4, 7),
        "es": nes / 3,
        "nes": nes,
        "pvalue": qvalue / 10,
        "qvalue": qvalue,
        "leading": np.full((3, 4), "A;B", dtype=object),
    }
    return made


def drawn(ax):
    """(class, set) -> (colour value, area, edge width) of each dot."""
    rows = [t.get_text() for t in ax.get_yticklabels()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    dots = ax.collections[0]
    each = zip(
        dots.get_offsets(), dots.get_array(), dots.get_sizes(), dots.get_linewidths(), strict=True
    )
    return {(rows[int(y)], columns[int(x)]): values for (x, y), *values in each}


def test_table_is_sorted_within_classes_in_code_order(adata):
    table = sg.get.gene_sets(adata)
    assert table["class"].tolist() == np.repeat(CLASSES, 4).tolist()
    by_certainty = ["$up$", "both", "nothing", "down/a", "down/a", "both", "$up$", "nothing"]
    assert table["gene_set"].tolist()[:8] == by_certainty


def test_dots_are_the_scores_of_the_classes_with_a_set_and_their_top_sets(adata):
    found = drawn(sg.pl.gene_sets(adata))
    assert {c for c, _ in found} == {"mTOR/PI3K inhibitor", "<script>"}
    assert {s for _, s in found} == {"$up$", "down/a", "both"}
    assert found[("mTOR/PI3K inhibitor", "$up$")][0] == 2.0
    assert found[("<script>", "down/a")][0] == -1.9
    # Smaller q-values are larger dots; those at or below max_qvalue have the heavier edge.
    areas = [found[pair][1] for pair in [("<script>", "both"), ("<script>", "down/a")]]
    assert areas[0] < areas[1] < found[("mTOR/PI3K inhibitor", "$up$")][1]
    heavy = {pair for pair, values in found.items() if values[2] > 0.5}
    assert heavy == {
        ("mTOR/PI3K inhibitor", "$up$"),
        ("mTOR/PI3K inhibitor", "both"),
        ("<script>", "down/a"),
        ("<script>", "both"),
    }


def test_classes_and_the_number_of_sets_can_be_chosen(adata):
    found = drawn(sg.pl.gene_sets(adata, classes=["quiet", "<script>"], n_sets=1))
    assert set(found) == {("quiet", "down/a"), ("<script>", "down/a")}


def test_a_pair_without_a_score_has_no_dot(adata):
    stored = adata.uns["svqvae"]["gene_sets"]
    for name in ("es", "nes", "pvalue", "qvalue"):
        stored[name][1] = np.nan
    found = drawn(sg.pl.gene_sets(adata, classes=CLASSES))
    assert {c for c, _ in found} == {"mTOR/PI3K inhibitor", "quiet"}


def test_a_plot_that_would_be_empty_is_refused_with_the_smallest_q_value(adata):
    with pytest.raises(DataError, match=r"max_qvalue=1e-09; the smallest is 1e-06"):
        sg.pl.gene_sets(adata, max_qvalue=1e-9)
    with pytest.raises(ValueError, match="did you mean 'quiet'"):
        sg.pl.gene_sets(adata, classes=["Quiet"])
    with pytest.raises(ValueError, match="n_sets=0"):
        sg.pl.gene_sets(adata, n_sets=0)
    del adata.uns["svqvae"]["gene_sets"]
    with pytest.raises(DataError, match=r"run sg\.tl\.gene_sets"):
        sg.pl.gene_sets(adata)
    assert not plt.get_fignums()


def test_it_is_written_where_asked(adata, tmp_path):
    sg.pl.gene_sets(adata, save=tmp_path / "sets.svg")
    assert "</svg>" in (tmp_path / "sets.svg").read_text()
