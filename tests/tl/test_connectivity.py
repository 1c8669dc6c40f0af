"""Connectivity of queries with a reference: the scores are the metrics', the reasons are said."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sigilla as sg
from sigilla.errors import DataError


@pytest.fixture
def reference():
    """Three compounds in two cell lines; B is the mirror image of A, C is noise."""
    rng = np.random.default_rng(0)
    act = rng.normal(0, 2, 80)
    x = np.stack([act, act, -act, -act, 0 * act, 0 * act]) + rng.normal(0, 0.5, (6, 80))
    obs = pd.DataFrame(
        {
            "pert_iname": list("AABBCC"),
            "cell_id": ["MCF7", "PC3"] * 3,
            "pert_type": "trt_cp",
        },
        index=[f"s{i}" for i in range(6)],
    )
    return ad.AnnData(x, obs, pd.DataFrame(index=[f"g{i}" for i in range(80)]))


@pytest.fixture
def genes(reference):
    """The query of compound A in MCF7, as two lists of genes."""
    order = reference.var_names[np.argsort(-reference.X[0])]
    return {"up": list(order[:15]), "down": list(order[-15:])}


def test_a_compound_connects_with_itself_and_opposes_its_mirror_image(reference, genes):
    scores = sg.tl.connectivity({"A": genes}, reference).set_index("signature")
    assert scores.loc["s0", "wtcs"] == pytest.approx(1)
    assert scores.loc["s1", "wtcs"] > 0.8
    assert (scores.loc[["s2", "s3"], "wtcs"] < -0.8).all()
    assert (scores["wtcs"].abs() <= 1).all()
    assert (scores["missing"] == "").all()
    together = np.sign(scores["es_up"]) == np.sign(scores["es_down"])
    assert (scores.loc[together, "wtcs"] == 0).all()


def test_scores_are_those_of_the_metrics(reference, genes):
    up = reference.var_names.isin(genes["up"])[None, :]
    down = reference.var_names.isin(genes["down"])[None, :]
    wtcs = sg.metrics.weighted_connectivity(reference.X.astype("f4"), up=up, down=down)
    ncs = sg.metrics.normalized_connectivity(wtcs, reference.obs["cell_id"])
    found = sg.tl.connectivity({"A": genes}, reference)
    np.testing.assert_allclose(found["wtcs"], wtcs[:, 0])
    np.testing.assert_allclose(found["ncs"], ncs[:, 0])
    everything = sg.tl.connectivity({"A": genes}, reference, normalize_by=())
    np.testing.assert_allclose(everything["ncs"], sg.metrics.normalized_connectivity(wtcs)[:, 0])
    names, summary = sg.metrics.summarize_connectivity(ncs, reference.obs["pert_iname"])
    per_drug = sg.tl.connectivity({"A": genes}, reference, summarize_by="pert_iname")
    assert per_drug["pert_iname"].tolist() == names.tolist() == ["A", "B", "C"]
    np.testing.assert_allclose(per_drug["ncs"], summary[:, 0])
    assert per_drug["n_signatures"].tolist() == [2, 2, 2]


def test_signatures_as_queries_are_their_extreme_genes(reference, genes):
    from_lists = sg.tl.connectivity({"s0": genes}, reference)
    from_signature = sg.tl.connectivity(reference[:1], reference, n_genes=15)
    pd.testing.assert_frame_equal(from_lists, from_signature)


def test_flipping_the_query_flips_every_score(reference, genes):
    swapped = {"up": genes["down"], "down": genes["up"]}
    scores = sg.tl.connectivity({"A": genes, "not A": swapped}, reference)
    np.testing.assert_allclose(
        scores.loc[scores["query"] == "A", ["wtcs", "ncs"]],
        -scores.loc[scores["query"] == "not A", ["wtcs", "ncs"]],
    )


def test_tau_sets_a_query_against_the_background(reference, genes):
    rng = np.random.default_rng(1)
    noise = ad.AnnData(rng.normal(size=(50, 80)), var=reference.var)
    scores = sg.tl.connectivity(
        {"A": genes}, reference, background=noise, n_genes=15, normalize_by=()
    ).set_index("signature")
    assert scores["tau"].between(-100, 100).all()
    assert scores.loc["s2", "tau"] < 0 < scores.loc["s1", "tau"]
    per_drug = sg.tl.connectivity(
        {"A": genes}, reference, background=noise, n_genes=15, summarize_by="pert_iname"
    )
    assert per_drug["tau"].between(-100, 100).all()


def test_genes_that_the_query_lacks_or_that_are_masked_do_not_rank(reference, genes):
    reference.var["landmark"] = np.arange(80) < 60
    masked = sg.tl.connectivity({"A": genes}, reference, mask_var="landmark", min_genes=2)
    sliced = sg.tl.connectivity({"A": genes}, reference[:, :60], min_genes=2)
    pd.testing.assert_frame_equal(masked, sliced)


def test_what_makes_a_score_missing_is_said(reference, genes):
    found = reference.var_names.isin([*genes["up"], *genes["down"]])
    reference.X[3, found] = 0
    reference.obs.loc["s4", "cell_id"] = None
    few = {"up": [*genes["up"][:4], "TP53"], "down": genes["down"]}
    scores = sg.tl.connectivity({"A": genes, "few": few, "none": {"up": []}}, reference)
    scores = scores.set_index(["query", "signature"])
    assert "0 in all genes" in scores.loc[("A", "s3"), "missing"]
    assert "normalize_by" in scores.loc[("A", "s4"), "missing"]
    assert np.isfinite(scores.loc[("A", "s4"), "wtcs"])
    assert scores.loc["few", "missing"].str.startswith("4 of the query's 5 up genes").all()
    assert scores.loc["none", "missing"].eq("the query has no genes").all()
    assert (scores["ncs"].isna() == (scores["missing"] != "")).all()
    per_drug = sg.tl.connectivity({"A": genes}, reference, summarize_by="pert_iname")
    assert per_drug["n_signatures"].tolist() == [2, 1, 1]


def test_a_perturbagen_without_any_score_says_so(reference, genes):
    reference.obs.loc[["s4", "s5"], "cell_id"] = None
    per_drug = sg.tl.connectivity({"A": genes}, reference, summarize_by="pert_iname")
    assert per_drug["missing"].tolist() == ["", "", "none of the signatures has a score"]
    assert np.isnan(per_drug["ncs"].iloc[2])


def test_a_query_of_one_half_is_scored_by_it(reference, genes):
    scores = sg.tl.connectivity({"A": {"down": genes["down"]}}, reference)
    np.testing.assert_array_equal(scores["wtcs"], -scores["es_down"])
    assert scores["es_up"].isna().all()
    assert (scores["missing"] == "").all()


def test_sparse_and_layers(reference, genes):
    expected = sg.tl.connectivity({"A": genes}, reference)
    reference.layers["z"] = sparse.csr_matrix(reference.X)
    reference.X = None
    pd.testing.assert_frame_equal(sg.tl.connectivity({"A": genes}, reference, layer="z"), expected)


def test_class_names_are_values(reference, genes):
    names = {"A": "mTOR/PI3K inhibitor", "B": "<script>", "C": "=cmd()"}
    reference.obs["moa"] = reference.obs["pert_iname"].map(names)
    found = sg.tl.connectivity({"A": genes}, reference, summarize_by="moa")
    assert set(found["moa"]) == set(names.values())


@pytest.mark.parametrize(
    ("query", "options", "error", "message"),
    [
        ([], {}, TypeError, "it is list"),
        ({}, {}, TypeError, "dict and empty"),
        ({"q": ["g1"]}, {}, TypeError, "it has list"),
        ({"q": {"upp": ["g1"]}}, {}, TypeError, "it has 'upp'"),
        ({"q": {"up": "g1"}}, {}, TypeError, "a string"),
        ({"q": {"up": ["g1"], "down": ["g1"]}}, {}, ValueError, "'g1' both up and down"),
        ({"q": {"up": ["TP53"]}}, {}, DataError, "0 of the query's 1 up genes"),
        ({"q": {"up": ["g1"]}}, {"min_genes": 0}, ValueError, "min_genes=0"),
        ({"q": {"up": ["g1"]}}, {"normalize_by": "cell"}, KeyError, "did you mean 'cell_id'"),
        ({"q": {"up": ["g1"]}}, {"summarize_by": "pert"}, KeyError, "summarize_by='pert'"),
    ],
)
def test_wrong_input_is_named(reference, query, options, error, message):
    with pytest.raises(error, match=message):
        sg.tl.connectivity(query, reference, **options)


def test_too_many_genes_of_a_signature_are_refused(reference):
    with pytest.raises(DataError, match="80 genes that query and reference have in common"):
        sg.tl.connectivity(reference, reference, n_genes=41)


def test_mek_inhibitors_of_the_real_plate_connect_with_one_another(mirror):
    adata = ad.read_h5ad(mirror("lincs/l1000_ljp005_a375_zs.h5ad"))
    signatures = sg.pp.modz(adata, "pert_iname")
    # The plate alone would tell of itself: all of its other signatures are the background.
    query = signatures[signatures.obs_names == "trametinib"]
    scores = sg.tl.connectivity(query, signatures, background=signatures)
    top = scores.nlargest(5, "tau")["signature"]
    assert top.iloc[0] == "trametinib"
    moa = signatures.obs.loc[top, "moa"]
    assert moa.str.contains("MEK").sum() >= 3
