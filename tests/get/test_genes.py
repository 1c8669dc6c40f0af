from __future__ import annotations

import numpy as np
import pytest

import sigilla as sg
from sigilla.errors import DataError

PROFILES = np.array([[3.0, -1, 0, 2], [-5, 4, 1, -2]])


def test_prototypes_leave_out_genes_that_the_model_does_not_use(coded):
    adata = coded(PROFILES, ["a", "b"])
    adata.varm["svqvae_prototypes"][2] = np.nan
    table = sg.get.prototypes(adata)
    assert table.index.tolist() == ["g0", "g1", "g3"]
    np.testing.assert_array_equal(table.to_numpy(), PROFILES[:, [0, 1, 3]].T)


def test_prototypes_of_a_representation_are_no_genes(coded):
    adata = coded(PROFILES, ["a", "b"])
    del adata.varm["svqvae_prototypes"]
    adata.uns["svqvae"]["params"]["use_rep"] = "X_pca"
    with pytest.raises(DataError, match=r"use_rep='X_pca'"):
        sg.get.prototypes(adata)


def test_top_genes_are_the_extremes_by_sign(coded):
    table = sg.get.top_genes(coded(PROFILES, ["a", "b"]), n=2)
    found = {
        (c, d): list(zip(g["gene"], g["value"], strict=True))
        for (c, d), g in table.groupby(["class", "direction"])
    }
    assert found == {
        ("a", "up"): [("g0", 3), ("g3", 2)],
        ("a", "down"): [("g1", -1)],  # zero is neither
        ("b", "up"): [("g1", 4), ("g2", 1)],
        ("b", "down"): [("g0", -5), ("g3", -2)],
    }
    assert table["rank"].tolist() == [1, 2, 1, 1, 2, 1, 2]


def test_symbols_fall_back_on_the_gene_name_where_they_are_missing(coded):
    adata = coded(PROFILES, ["a", "b"])
    adata.var["gene_symbol"] = ["MYC", None, " ", "TP53"]
    shown = sg.get.top_genes(adata, n=1).set_index(["class", "direction"])["symbol"]
    assert shown.tolist() == ["MYC", "g1", "g1", "MYC"]
    del adata.var["gene_symbol"]
    assert set(sg.get.top_genes(adata)["symbol"]) == set(adata.var_names)


def test_repeated_gene_names_keep_their_own_symbols_and_values(coded):
    with pytest.warns(UserWarning, match="not unique"):
        adata = coded(PROFILES, ["a", "b"], var_names=["g", "g", "g", "g"])
    table = sg.get.top_genes(adata, n=1)
    assert table["symbol"].tolist() == ["GENE0", "GENE1", "GENE1", "GENE0"]
    assert table["value"].tolist() == [3, -1, 4, -5]


def test_a_column_of_symbols_that_is_not_there_is_named(coded):
    with pytest.raises(KeyError, match=r"gene_symbols='symbol'.*gene_symbol"):
        sg.get.top_genes(coded(PROFILES, ["a", "b"]), gene_symbols="symbol")


def test_fewer_than_one_gene_is_refused(coded):
    with pytest.raises(ValueError, match="n=0"):
        sg.get.top_genes(coded(PROFILES, ["a", "b"]), n=0)
