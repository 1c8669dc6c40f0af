from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pytest
from tests.tl.test_fit import run, signatures

import sigilla as sg
from sigilla import keys
from sigilla.tl._map_query import read_query


@pytest.fixture
def reference():
    adata = signatures()
    run("vqvae", adata)
    return adata


def test_mapping_the_training_data_gives_what_the_fit_stored(reference):
    query = signatures()
    sg.tl.map_query(query, reference, key="vqvae")
    for field in (keys.latent("vqvae"), keys.distances("vqvae")):
        np.testing.assert_allclose(query.obsm[field], reference.obsm[field], rtol=1e-5)
    assert (query.obs["vqvae"] == reference.obs["vqvae"]).all()
    assert query.uns["vqvae"]["params"]["missing_genes"] == 0


def test_genes_are_found_by_name_wherever_they_stand(reference):
    query = signatures()[:, ::-1].copy()
    query.var["id"] = query.var_names
    query.var_names = [f"probe{i}" for i in range(query.n_vars)]
    sg.tl.map_query(query, reference, key="vqvae", gene_key="id")
    np.testing.assert_allclose(
        query.obsm[keys.distances("vqvae")], reference.obsm[keys.distances("vqvae")], rtol=1e-4
    )
    np.testing.assert_allclose(
        query.varm[keys.prototypes("vqvae")][::-1], reference.varm[keys.prototypes("vqvae")]
    )


def test_missing_genes_count_as_typical_and_are_reported(reference, caplog):
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        query = signatures()[:, 1:].copy()
        sg.tl.map_query(query, reference, key="vqvae")
    assert "1 of the model's 10 genes are missing and count as typical: 'g0'" in caplog.text
    assert query.uns["vqvae"]["params"]["missing_genes"] == 1
    filled = signatures()
    filled.X[:, 0] = sg.get.model(reference, "vqvae").typical()[0]
    sg.tl.map_query(filled, reference, key="vqvae")
    np.testing.assert_allclose(
        query.obsm[keys.latent("vqvae")], filled.obsm[keys.latent("vqvae")], rtol=1e-5
    )


def test_genes_that_a_query_lacks_are_named(reference):
    query = signatures()[:, 4:].copy()
    with pytest.raises(ValueError, match=r"60% of the model's 10 genes.*it lacks 'g0', 'g1', 'g2'"):
        sg.tl.map_query(query, reference, key="vqvae")


def test_too_few_genes_are_refused_with_the_column_that_would_match(reference):
    query = signatures()
    query.var["id"] = query.var_names
    query.var_names = [f"probe{i}" for i in range(query.n_vars)]
    with pytest.raises(ValueError, match=r"0% of the model's 10 genes.*pass gene_key='id'"):
        sg.tl.map_query(query, reference, key="vqvae")
    del query.var["id"]
    with pytest.raises(ValueError, match=r"named like 'g0'.*the query's like 'probe0'.*gene_key"):
        sg.tl.map_query(query, reference, key="vqvae")
    with pytest.raises(KeyError, match="gene_key='id' not found"):
        sg.tl.map_query(query, reference, key="vqvae", gene_key="id")
    assert not query.uns
    assert not query.obsm


def test_a_gene_that_stands_twice_is_refused_by_name(reference):
    query = signatures()
    query.var["id"] = ["g1", *query.var_names[1:]]
    with pytest.raises(ValueError, match=r"more than once in var\['id'\]: 'g1'"):
        sg.tl.map_query(query, reference, key="vqvae", gene_key="id")
    with pytest.raises(TypeError, match=r"reference='fitted\.h5ad' is neither"):
        sg.tl.map_query(query, "fitted.h5ad")


def test_values_that_are_no_numbers_are_the_querys(reference):
    query = signatures()
    query.X[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"query\.X has 1 NaN"):
        sg.tl.map_query(query, reference, key="vqvae")
    with pytest.raises(ValueError, match=r"query\.X has 1 NaN"):
        sg.tl.retrieve(query, reference)
    with pytest.raises(ValueError, match=r"reference\.X has 1 NaN"):
        sg.tl.retrieve(reference, query)


def test_a_query_of_the_models_genes_is_read_where_it_is(reference):
    model = sg.get.model(reference, "vqvae")
    same = reference.copy()
    seen = read_query(same, model, layer=None, gene_key=None, min_overlap=1)
    assert np.shares_memory(seen.x, same.X)
    turned = reference[:, ::-1].copy()
    seen = read_query(turned, model, layer=None, gene_key=None, min_overlap=1)
    np.testing.assert_array_equal(seen.x, reference.X)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_a_large_query_on_disk_is_read_by_blocks(reference, tmp_path, monkeypatch, order):
    monkeypatch.setattr("sigilla.batches._matrix._is_large", lambda shape: True)
    monkeypatch.setattr("sigilla.tl._map_query._BLOCK", 7)
    reference[:, order].copy().write_h5ad(tmp_path / "query.h5ad")
    query = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    sg.tl.map_query(query, reference, key="vqvae")
    np.testing.assert_allclose(
        query.obsm["vqvae_distances"], reference.obsm["vqvae_distances"], rtol=1e-4, atol=1e-5
    )
