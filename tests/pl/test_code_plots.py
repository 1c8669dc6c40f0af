"""What the heatmap, the graph and the genes show is what is stored, and nothing else is touched."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

import sigilla as sg
from sigilla.errors import DataError, FileError

mpl.use("Agg")

HOSTILE = ["mTOR/PI3K inhibitor", "<script>", "=cmd()", "$\\alpha_{$", "a\nb\x00c", "x" * 200]
PLOTS = [sg.pl.code_heatmap, sg.pl.code_graph, sg.pl.prototypes, sg.pl.history]


@pytest.fixture
def adata(coded):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(5, 30))
    return coded(base[[0, 1, 2, 3, 4, 0, 1, 2]] + 0.5 * rng.normal(size=(8, 30)), list("abcdefgh"))


def rows(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def test_heatmap_order_is_scipys_optimal_leaf_order(adata):
    r = np.corrcoef(adata.varm["svqvae_prototypes"].T.astype(float))
    condensed = squareform(1 - r, checks=False)
    order = leaves_list(linkage(condensed, method="average", optimal_ordering=True))
    ax = sg.pl.code_heatmap(adata)
    assert rows(ax) == [list("abcdefgh")[i] for i in order]
    assert [t.get_text() for t in ax.get_xticklabels()] == rows(ax)
    np.testing.assert_allclose(ax.images[0].get_array(), r[np.ix_(order, order)], atol=1e-6)


def test_heatmap_without_clustering_keeps_code_order(adata):
    assert rows(sg.pl.code_heatmap(adata, cluster=False)) == list("abcdefgh")


def test_heatmap_colours_mean_the_same_on_every_data_set(adata):
    assert sg.pl.code_heatmap(adata).images[0].get_clim() == (-1, 1)


def test_heatmap_shows_the_space_asked_for(adata):
    adata.uns["svqvae"]["codes"] = np.random.default_rng(1).normal(size=(8, 4))
    ax = sg.pl.code_heatmap(adata, space="latent", cluster=False)
    np.testing.assert_allclose(
        ax.images[0].get_array(), np.corrcoef(adata.uns["svqvae"]["codes"]), atol=1e-6
    )


def test_heatmap_leaves_an_undefined_correlation_grey(adata):
    adata.uns["svqvae"]["code_correlation"][2, :] = np.nan
    adata.uns["svqvae"]["code_correlation"][:, 2] = np.nan
    ax = sg.pl.code_heatmap(adata)
    assert np.isnan(ax.images[0].get_array().filled(np.nan)).sum() == 15


def test_heatmap_bars_take_a_table_of_ones_own(adata):
    import pandas as pd

    table = pd.DataFrame({"wells": range(8), "share": np.linspace(0, 1, 8)}, index=list("abcdefgh"))
    ax = sg.pl.code_heatmap(adata, cluster=False, annotate=table)
    wells, share = (p for p in ax.child_axes if p.get_title() in {"wells", "share"})
    assert [t.get_text().strip() for t in wells.texts] == [str(i) for i in range(8)]
    np.testing.assert_allclose([b.get_width() for b in share.patches], table["share"])


@pytest.mark.parametrize("k", [2, 3, 75])
def test_graph_has_an_arrow_per_class_and_one_for_each_pair(coded, k):
    rng = np.random.default_rng(k)
    adata = coded(rng.normal(size=(k, 12)), [f"class {i}" for i in range(k)], per_class=1)
    ax = sg.pl.code_graph(adata)
    nearest = sg.get.nearest_codes(adata).set_index("code")["nearest"]
    pairs = sum(nearest[nearest[c]] == c for c in nearest.index) // 2
    assert sum(isinstance(p, FancyArrowPatch) for p in ax.patches) == k - pairs
    shown = [t.get_text().replace("\n", " ") for t in ax.texts]
    assert sorted(t for t in shown if t.startswith("class")) == sorted(nearest.index)


@pytest.mark.parametrize("seed", range(5))
def test_graph_boxes_never_overlap_and_point_inwards(coded, seed):
    from sigilla.pl._trees import lay_out

    rng = np.random.default_rng(seed)
    names = ["w" * int(n) for n in rng.integers(1, 60, 75)]
    adata = coded(rng.normal(size=(75, 6)), [f"{i}{n}" for i, n in enumerate(names)], per_class=1)
    edges = sg.get.nearest_codes(adata)
    layout = lay_out(edges, edges["code"])
    boxes = list(layout.nodes.values())
    for i, a in enumerate(boxes):
        assert a.width / 2 <= a.x + 1e-6 <= layout.width - a.width / 2 + 2e-6
        assert a.height / 2 <= a.y + 1e-6 <= layout.height - a.height / 2 + 2e-6
        for b in boxes[:i]:
            apart_x = abs(a.x - b.x) - (a.width + b.width) / 2
            apart_y = abs(a.y - b.y) - (a.height + b.height) / 2
            assert max(apart_x, apart_y) > 0


def test_graph_draws_a_class_without_a_nearest_one_alone(adata):
    adata.uns["svqvae"]["code_correlation"][2, :] = np.nan
    adata.uns["svqvae"]["code_correlation"][:, 2] = np.nan
    ax = sg.pl.code_graph(adata)
    assert "c" in [t.get_text() for t in ax.texts]


def test_prototypes_shows_the_values_of_the_genes_it_names(adata):
    ax = sg.pl.prototypes(adata, n_genes=2)
    symbols = [t.get_text() for t in ax.get_xticklabels()]
    table = sg.get.prototypes(adata)
    table.index = adata.var.loc[table.index, "gene_symbol"]
    expected = table.loc[symbols, rows(ax)].T
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert set(symbols) == set(sg.get.top_genes(adata, n=2)["symbol"])
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_prototypes_of_chosen_classes_only(adata):
    assert sorted(rows(sg.pl.prototypes(adata, classes=["h", "a"]))) == ["a", "h"]
    with pytest.raises(ValueError, match="classes='z'"):
        sg.pl.prototypes(adata, classes=["z"])


@pytest.mark.parametrize("plot", PLOTS)
def test_hostile_names_are_drawn_as_they_are(plot, coded, tmp_path):
    adata = coded(np.random.default_rng(0).normal(size=(6, 20)), HOSTILE)
    plot(adata, save=tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_dollar_signs_are_no_mathematics(coded):
    adata = coded(np.random.default_rng(0).normal(size=(6, 20)), HOSTILE)
    ax = sg.pl.code_heatmap(adata)
    assert "$\\alpha_{$" in rows(ax)
    assert "a b c" in rows(ax)


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_draws_in_the_axes_given_and_returns_them(plot, adata):
    figure, ax = plt.subplots()
    assert plot(adata, ax=ax) is ax
    figure.canvas.draw()
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_changes_neither_settings_nor_data(plot, adata):
    before, copy = dict(mpl.rcParams), adata.copy()
    plot(adata)
    assert dict(mpl.rcParams) == before
    assert list(adata.obs) == list(copy.obs)
    assert set(adata.uns) == set(copy.uns)
    np.testing.assert_array_equal(adata.X, copy.X)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_save_writes_the_format_of_the_ending(adata, tmp_path, ending):
    path = tmp_path / f"plot.{ending}"
    sg.pl.code_graph(adata, save=path)
    start = path.read_bytes()[:60]
    assert {"png": b"PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending] in start
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_an_error_that_names_it(adata, tmp_path):
    with pytest.raises(FileError, match=r"save=.*nowhere"):
        sg.pl.code_heatmap(adata, save=tmp_path / "nowhere" / "plot.png")


@pytest.mark.parametrize("name", ["plot.zzz", "plot", "plot."])
def test_an_ending_that_names_no_format_is_refused_with_those_that_do(adata, tmp_path, name):
    with pytest.raises(ValueError, match=r"save=.*the ending names the format, one of .*'png'"):
        sg.pl.code_graph(adata, save=tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plot", PLOTS)
def test_nothing_drawn_is_cut_off(plot, adata):
    figure = plot(adata).get_figure()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02


def test_plotting_loads_no_torch():
    code = "import sys, sigilla.pl; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def tested(adata):
    """Of all pairs only the first two classes are significantly correlated."""
    qvalue = np.full((8, 8), 0.4)
    qvalue[0, 1] = qvalue[1, 0] = 0.03
    np.fill_diagonal(qvalue, np.nan)
    qvalue[2, 3] = qvalue[3, 2] = np.nan
    stats = {"qvalue": qvalue, "params": {"space": "genes"}}
    adata.uns["svqvae"]["code_correlation_stats"] = stats
    return adata


def starred(ax):
    return [t for t in ax.texts if t.get_text().endswith("*")]


def test_significant_pairs_have_a_star_beside_the_number(tested):
    ax = sg.pl.code_heatmap(tested)
    order = rows(ax)
    at = {
        (order[round(t.get_position()[1])], order[round(t.get_position()[0])]) for t in starred(ax)
    }
    assert at == {("a", "b"), ("b", "a")}
    for other in ({"fdr": None}, {"fdr": 0.01}, {"space": "latent"}):
        assert not starred(sg.pl.code_heatmap(tested, **other))


def test_significant_pairs_have_a_dot_where_numbers_have_no_room(coded):
    adata = coded(np.random.default_rng(0).normal(size=(20, 9)), [f"c{i}" for i in range(20)])
    qvalue = np.ones((20, 20))
    qvalue[3, 7] = qvalue[7, 3] = 0.01
    adata.uns["svqvae"]["code_correlation_stats"] = {
        "qvalue": qvalue,
        "params": {"space": "genes"},
    }
    ax = sg.pl.code_heatmap(adata)
    (dots,) = [c for c in ax.collections if len(c.get_offsets()) == 2]
    order = rows(ax)
    assert {tuple(order[round(v)] for v in xy) for xy in dots.get_offsets()} == {
        ("c3", "c7"),
        ("c7", "c3"),
    }


def test_significant_arrows_have_a_star(tested):
    nearest = sg.get.nearest_codes(tested)
    i, j = (list("abcdefgh").index(name) for name in nearest.loc[0, ["code", "nearest"]])
    qvalue = tested.uns["svqvae"]["code_correlation_stats"]["qvalue"]
    qvalue[...] = 1
    qvalue[i, j] = qvalue[j, i] = 0.03
    (star,) = starred(sg.pl.code_graph(tested))
    assert star.get_text() == f"{1 - nearest.loc[0, 'distance']:.2f}*"
    assert not starred(sg.pl.code_graph(tested, fdr=None))


def pairs_of_four(qvalues, chance):
    """Six pairs of four classes in the order of the upper triangle."""
    upper = np.triu_indices(4, 1)

    def square(values):
        full = np.full((4, 4), np.nan)
        full[upper] = values
        return np.where(np.isnan(full), full.T, full)

    q = np.array(qvalues)
    found = {"r": 0.5 + 0 * q, "corrected": 0.6 + 0 * q, "low": 0.2 + 0 * q, "high": 0.9 + 0 * q}
    found |= {"pvalue": q / 2, "qvalue": q, "pvalue_perm": q, "qvalue_perm": np.array(chance)}
    return {name: square(values) for name, values in found.items()}


@pytest.fixture
def with_intervals(coded):
    adata = coded(np.random.default_rng(0).normal(size=(4, 9)), ["a", "b", "c", "<d>$"])
    found = pairs_of_four([0.2, 0.01, np.nan, 0.03, np.nan, 0.04], [0.1, 0.02, 1, 0.3, 1, 0.9])
    stats = found | {"means": found, "n_units": np.full(4, 3), "params": {"space": "genes"}}
    adata.uns["svqvae"]["code_correlation_stats"] = stats
    return adata


def test_intervals_stand_in_the_order_of_certainty_without_untested_pairs(with_intervals):
    ax = sg.pl.code_intervals(with_intervals)
    dash = "  \N{EN DASH}  "
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == [f"a{dash}c", f"b{dash}c", f"c{dash}<d>$", f"a{dash}b"]
    assert len(sg.pl.code_intervals(with_intervals, n=2).get_yticklabels()) == 2


def test_intervals_fill_what_is_significant_and_mark_what_stands_out_from_chance(with_intervals):
    ax = sg.pl.code_intervals(with_intervals)
    shown = {
        (line.get_marker(), line.get_markerfacecolor() == "white"): line.get_ydata().tolist()
        for line in ax.lines
        if line.get_color() == "#4477AA"
    }
    assert shown == {("D", False): [0], ("o", False): [1, 2], ("o", True): [3]}
    (codes,) = [c for c in ax.collections if c.get_label() == "codes"]
    assert codes.get_segments()[0].tolist() == [[0.2, 0], [0.9, 0]]


def test_intervals_need_a_pair_that_was_tested(adata, with_intervals):
    with pytest.raises(DataError, match=r"sg\.tl\.code_correlation"):
        sg.pl.code_intervals(adata)
    with pytest.raises(ValueError, match="n=0"):
        sg.pl.code_intervals(with_intervals, n=0)
    with_intervals.uns["svqvae"]["code_correlation_stats"]["qvalue"][...] = np.nan
    with pytest.raises(DataError, match="two perturbagens"):
        sg.pl.code_intervals(with_intervals)
