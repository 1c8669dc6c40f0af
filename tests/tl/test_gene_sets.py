"""Gene sets of a class, against a planted set, a walk of our own and permutations of our own."""

from __future__ import annotations

import logging
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError, FileError

N_GENES = 200
CLASSES = ["mTOR/PI3K inhibitor", "<script>", "quiet"]


@pytest.fixture
def fitted(coded):
    """Genes 0-14 up in the first class, 20-34 down in the second, the third is noise."""
    rng = np.random.default_rng(0)
    profiles = rng.normal(size=(3, N_GENES))
    profiles[0, :15] += 2
    profiles[1, 20:35] -= 2
    adata = coded(profiles, CLASSES)
    adata.var["gene_symbol"] = [f"Sym{i}" for i in range(N_GENES)]
    return adata


@pytest.fixture
def sets():
    rng = np.random.default_rng(1)
    names = [f"Sym{i}" for i in range(N_GENES)]
    given = {"up/first": names[:15], "down second": [*names[20:35], "ELSEWHERE"]}
    given |= {f"random {i}": list(rng.choice(names, 6 + i, replace=False)) for i in range(10)}
    return given


def enriched(adata, sets, **options):
    sg.tl.gene_sets(adata, sets, **options)
    return sg.get.gene_sets(adata).set_index(["class", "gene_set"])


def test_planted_sets_are_found_in_their_class_with_their_sign_and_no_other(fitted, sets):
    found = enriched(fitted, sets)
    significant = found[found["qvalue"] < 0.05]
    assert list(significant.index) == [(CLASSES[0], "up/first"), (CLASSES[1], "down second")]
    assert significant["es"].iloc[0] > 0.7 > -0.7 > significant["es"].iloc[1]
    assert np.sign(significant["nes"]).tolist() == [1, -1]
    # The genes that make the score come from that end of the prototype.
    profile = pd.Series(fitted.varm["svqvae_prototypes"][:, 0], fitted.var["gene_symbol"])
    leading = significant["leading"].iloc[0].split(";")
    assert set(leading) <= set(sets["up/first"])
    assert (profile[leading] > profile[list(set(sets["up/first"]) - set(leading))].max()).all()


def test_scores_are_those_of_the_walk_through_the_prototype(fitted, sets):
    profiles = fitted.varm["svqvae_prototypes"].T
    for weight in (1.0, 0.0):
        sg.tl.gene_sets(fitted, sets, weight=weight)
        found = sg.get.gene_sets(fitted).pivot_table("es", "class", "gene_set")
        members = np.array([fitted.var["gene_symbol"].isin(genes) for genes in sets.values()])
        expected = sg.metrics.enrichment_score(profiles, members, weight=weight)
        np.testing.assert_allclose(found.loc[CLASSES, list(sets)], expected, atol=1e-9)


def test_pvalues_are_the_share_of_random_sets_that_score_as_far_on_that_side(fitted, sets):
    found = enriched(fitted, sets, n_perm=2000)
    rng = np.random.default_rng(2)
    for c, name in enumerate(CLASSES):
        for gene_set in ("random 2", "random 7"):
            row = found.loc[(name, gene_set)]
            drawn = rng.permuted(np.arange(N_GENES) < np.full((4000, 1), row["n_found"]), axis=1)
            null = sg.metrics.enrichment_score(fitted.varm["svqvae_prototypes"].T[[c]], drawn)[0]
            same = null[np.sign(null) == np.sign(row["es"])]
            share = (np.abs(same) >= abs(row["es"])).mean()
            assert row["pvalue"] == pytest.approx(share, abs=0.05)
            assert row["nes"] == pytest.approx(row["es"] / np.abs(same).mean(), rel=0.05)


def test_pvalues_are_uniform_where_nothing_is_enriched(coded):
    """Versions of GSEApy before 1.3.1 halve them."""
    rng = np.random.default_rng(3)
    adata = coded(rng.normal(size=(8, 150)), list("abcdefgh"))
    sets = {f"s{i}": list(rng.choice(adata.var["gene_symbol"], 12)) for i in range(60)}
    pvalue = enriched(adata, sets, n_perm=300)["pvalue"]
    for level in (0.05, 0.25, 0.5):
        assert (pvalue < level).mean() == pytest.approx(level, abs=0.06)


def test_false_discovery_rates_are_over_all_classes_and_sets(fitted, sets):
    from scipy.stats import false_discovery_control

    found = enriched(fitted, sets)
    np.testing.assert_allclose(found["qvalue"], false_discovery_control(found["pvalue"]))


def test_the_same_seed_gives_the_same_numbers_on_any_number_of_threads(fitted, sets):
    once = enriched(fitted, sets)
    pd.testing.assert_frame_equal(enriched(fitted, sets), once)
    pd.testing.assert_frame_equal(enriched(fitted, sets, n_jobs=2), once)


def test_a_mapping_a_gmt_file_and_tables_say_the_same(fitted, sets, tmp_path):
    expected = enriched(fitted, sets)
    path = tmp_path / "sets.gmt"
    path.write_text("".join("\t".join([n, "", *genes]) + "\n" for n, genes in sets.items()))
    pairs = [(name, gene) for name, genes in sets.items() for gene in genes]
    table = pd.DataFrame(pairs, columns=["set", "gene"])
    network = pd.DataFrame(pairs, columns=["source", "target"])
    network.insert(0, "weight", 1.0)
    for given in (path, str(path), table, network):
        pd.testing.assert_frame_equal(enriched(fitted, given), expected)


def test_genes_are_matched_by_symbol_or_the_column_named(fitted, sets):
    expected = enriched(fitted, sets)
    entrez = {name: [g.replace("Sym", "g") for g in genes] for name, genes in sets.items()}
    with pytest.raises(DataError, match=r"0 of the \d+ genes named are there.*'Sym0'"):
        sg.tl.gene_sets(fitted, entrez)
    fitted.var["entrez"] = fitted.var_names
    with pytest.raises(DataError, match=r"pass gene_symbols='entrez'"):
        sg.tl.gene_sets(fitted, entrez)
    by_column = enriched(fitted, entrez, gene_symbols="entrez")
    pd.testing.assert_frame_equal(
        by_column.drop(columns="leading"), expected.drop(columns="leading")
    )
    del fitted.var["gene_symbol"]
    pd.testing.assert_frame_equal(enriched(fitted, entrez), by_column)


def test_what_does_not_match_is_counted_and_said(fitted, sets, caplog):
    sets = sets | {"tiny": ["Sym1", "Sym2"], "foreign": ["TP53"] * 9}
    with caplog.at_level(logging.INFO, logger="sigilla"):
        found = enriched(fitted, sets, max_size=14)
    assert "2 of 14 gene sets do not have 5 to 14" not in caplog.text
    left = [
        name for name, genes in sets.items() if not 5 <= sum(g[:3] == "Sym" for g in genes) <= 14
    ]
    assert f"{len(left)} of 14 gene sets do not have 5 to 14" in caplog.text
    assert "'tiny'" in caplog.text
    assert "genes in gene_sets are among the model's" in caplog.text
    assert not set(left) & set(found.index.get_level_values("gene_set"))
    whole = enriched(fitted, sets).loc[(CLASSES[0], "down second")]
    assert (whole["n_found"], whole["n_genes"]) == (15, 16)


def test_genes_of_one_symbol_count_once_with_their_mean(fitted, sets):
    expected = enriched(fitted, sets)
    order = [0, 0, *range(1, N_GENES)]
    var = pd.DataFrame({"gene_symbol": fitted.var["gene_symbol"].to_numpy()[order]})
    twice = ad.AnnData(fitted.X[:, order], fitted.obs, var.set_axis(var.index.astype(str)))
    twice.uns["svqvae"] = fitted.uns["svqvae"]
    twice.varm["svqvae_prototypes"] = fitted.varm["svqvae_prototypes"][order]
    twice.varm["svqvae_prototypes"][:2] += np.array([[1], [-1]], dtype=np.float32)
    pd.testing.assert_frame_equal(enriched(twice, sets), expected, rtol=1e-4)


def test_a_flat_prototype_has_no_score(fitted, sets):
    fitted.varm["svqvae_prototypes"][:, 2] = 1
    found = enriched(fitted, sets)
    flat = found.index.get_level_values("class") == "quiet"
    scores = found[["es", "nes", "pvalue", "qvalue"]].isna()
    assert scores[flat].all(axis=None)
    assert not scores[~flat].any(axis=None)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_what_is_stored_survives_files(fitted, sets, tmp_path, kind):
    sg.tl.gene_sets(fitted, sets)
    path = tmp_path / f"fitted.{kind}"
    getattr(fitted, f"write_{kind}")(path)
    again = getattr(ad, f"read_{kind}")(path)
    pd.testing.assert_frame_equal(sg.get.gene_sets(again), sg.get.gene_sets(fitted))


def test_a_copy_leaves_the_original_alone_and_views_become_data(fitted, sets):
    found = sg.tl.gene_sets(fitted, sets, copy=True)
    assert "gene_sets" not in fitted.uns["svqvae"]
    assert "gene_sets" in found.uns["svqvae"]
    with pytest.raises(DataError, match=r"run sg\.tl\.gene_sets"):
        sg.get.gene_sets(fitted)
    view = fitted[:5]
    sg.tl.gene_sets(view, sets)
    assert not view.is_view
    assert "gene_sets" not in fitted.uns["svqvae"]


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        (["Sym1"], {}, TypeError, "it is list"),
        ({}, {}, DataError, r"gene_sets=\{\} holds no set; give at least one"),
        (pd.DataFrame({"source": [], "target": []}), {}, DataError, "gene_sets holds no set"),
        ("gone.gmt", {}, FileError, r"gene_sets='gone\.gmt' is no file; give the path of a GMT"),
        ({"a": "Sym1"}, {}, TypeError, "a string where a list"),
        (pd.DataFrame({"gene": ["a"]}), {}, ValueError, "'gene'; two are needed"),
        ({"a": ["Sym1"]}, {}, DataError, "1 of the 1 genes named are there"),
        ({"a": [f"Sym{i}" for i in range(N_GENES)]}, {}, DataError, "5 to 199 of the 200"),
        ({"a": ["Sym1"]}, {"min_size": 0}, ValueError, "min_size=0 must be a whole number"),
        ({"a": ["Sym1"]}, {"max_size": 4}, ValueError, "max_size=4 must .* at least 5"),
        ({"a": ["Sym1"]}, {"weight": -1}, ValueError, "weight=-1"),
        ({"a": ["Sym1"]}, {"weight": float("nan")}, ValueError, "weight=nan"),
        ({"a": ["Sym1"]}, {"n_perm": 0}, ValueError, "n_perm=0"),
        ({"a": ["Sym1"]}, {"key": "vqvae"}, KeyError, "holds no result"),
        ({"a": ["Sym1"]}, {"gene_symbols": "gene_symbl"}, KeyError, "did you mean 'gene_symbol'"),
    ],
)
def test_wrong_input_is_named(fitted, given, options, error, message):
    with pytest.raises(error, match=message):
        sg.tl.gene_sets(fitted, given, **options)


def test_without_the_library_the_message_says_how_to_get_it(fitted, sets, monkeypatch):
    monkeypatch.setitem(sys.modules, "gseapy", None)
    with pytest.raises(ImportError, match=r'pip install "sigilla\[enrichment\]"'):
        sg.tl.gene_sets(fitted, sets)


def test_no_connection_is_opened(fitted, sets, monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    sg.tl.gene_sets(fitted, sets)
