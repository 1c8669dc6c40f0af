"""Nearest signatures, against scipy's distances."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

import sigilla as sg
from sigilla.errors import DataError
from sigilla.tl import _neighbours


def data(n, genes, seed, prefix):
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(
        (3 + rng.normal(size=(n, len(genes)))).astype(np.float32),
        pd.DataFrame(
            {"drug": [f"d{i % 7}" for i in range(n)]}, index=[f"{prefix}{i}" for i in range(n)]
        ),
        pd.DataFrame(index=genes),
    )
    adata.obsm["X_vae"] = rng.normal(size=(n, 4))
    return adata


@pytest.fixture
def pair():
    """A query of 12 and a reference of 40 signatures with genes in another order."""
    genes = [f"g{i}" for i in range(30)]
    return data(12, genes, 0, "q"), data(40, genes[::-1], 1, "r")


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
@pytest.mark.parametrize("use_rep", [None, "X_vae"])
def test_neighbours_and_distances_are_scipys(pair, metric, use_rep, monkeypatch):
    monkeypatch.setattr(_neighbours, "_BLOCK_VALUES", 200)  # five queries at a time
    query, reference = pair
    if use_rep is None:
        full = cdist(query.X, reference[:, query.var_names].X, metric)
    else:
        full = cdist(query.obsm[use_rep], reference.obsm[use_rep], metric)
    found = sg.tl.retrieve(query, reference, n=5, metric=metric, use_rep=use_rep)
    order = np.argsort(full, axis=1)[:, :5]
    assert found["signature"].tolist() == reference.obs_names[order.ravel()].tolist()
    expected = np.take_along_axis(full, order, axis=1).ravel()
    np.testing.assert_allclose(found["distance"], expected, rtol=1e-4, atol=1e-6)
    assert found["query"].tolist() == np.repeat(query.obs_names, 5).tolist()
    assert found["rank"].tolist() == [0, 1, 2, 3, 4] * 12


def test_a_signature_finds_itself_at_distance_0(pair):
    _, reference = pair
    for metric in ["correlation", "cosine", "euclidean"]:
        found = sg.tl.retrieve(reference, reference, n=1, metric=metric)
        assert found["signature"].tolist() == reference.obs_names.tolist()
        np.testing.assert_allclose(found["distance"], 0, atol=1e-6)


def test_signatures_of_the_same_drug_can_be_passed_over(pair):
    query, reference = pair
    query.obs.loc["q0", "drug"] = None
    found = sg.tl.retrieve(query, reference, n=40, exclude_same="drug", columns=["drug"]).set_index(
        "query"
    )
    drugs = query.obs["drug"].loc[found.index]
    assert not (drugs.to_numpy() == found["drug"].to_numpy()).any()
    assert len(found.loc["q0"]) == 40  # nothing is known of it, so nothing is passed over
    assert len(found.loc["q1"]) == 40 - (reference.obs["drug"] == "d1").sum()


def test_only_common_genes_are_compared(pair, caplog):
    query, reference = pair
    part = query[:, 10:]
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        found = sg.tl.retrieve(part, reference, n=3)
    assert "query has 20 of the 30 genes of reference" in caplog.text
    expected = sg.tl.retrieve(query, reference[:, part.var_names], n=3)
    pd.testing.assert_frame_equal(found, expected)
    mask = reference.var_names.isin(part.var_names)
    pd.testing.assert_frame_equal(sg.tl.retrieve(query, reference, n=3, mask_var=mask), expected)


def test_a_constant_signature_correlates_with_nothing(pair):
    query, reference = pair
    query.X[0] = 1
    assert (sg.tl.retrieve(query[:1], reference)["distance"] == 1).all()


def test_sparse_and_layers(pair):
    query, reference = pair
    expected = sg.tl.retrieve(query, reference)
    for adata in pair:
        adata.layers["z"] = sparse.csr_matrix(adata.X)
        adata.X = None
    pd.testing.assert_frame_equal(sg.tl.retrieve(query, reference, layer="z"), expected)


def test_more_than_there_are_gives_what_there_are(pair):
    query, reference = pair
    assert len(sg.tl.retrieve(query, reference[:4], n=10)) == 12 * 4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n=0"),
        ({"metric": "manhattan"}, ValueError, "metric='manhattan'"),
        ({"use_rep": "X_vqvae"}, KeyError, "did you mean 'X_vae'"),
        ({"columns": ["pcl"]}, KeyError, "columns='pcl'"),
        ({"exclude_same": "pcl"}, KeyError, "exclude_same='pcl'"),
    ],
)
def test_wrong_options_are_named(pair, options, error, message):
    with pytest.raises(error, match=message):
        sg.tl.retrieve(*pair, **options)


def test_signatures_that_cannot_be_compared_are_refused(pair):
    query, reference = pair
    query.obsm["X_vae"] = query.obsm["X_vae"][:, :2]
    with pytest.raises(DataError, match="2 dimensions in query and 4 in reference"):
        sg.tl.retrieve(query, reference, use_rep="X_vae")
    query.var_names = [f"ENSG{i}" for i in range(30)]
    with pytest.raises(DataError, match=r"no gene in common: 'ENSG0', \.\.\. against 'g29'"):
        sg.tl.retrieve(query, reference)
    query.var_names = ["same"] * 30
    with pytest.raises(DataError, match="not unique"):
        sg.tl.retrieve(query, reference)
