from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from sigilla.errors import DataError
from sigilla.pp import influential_features, single_cell


def cells(n=40, p=30, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.5, 4.0, size=p)
    counts = rng.poisson(rate, size=(n, p)).astype(np.float32)
    counts[0] += 1
    counts[:, 0] = 0
    counts[:1, 0] = 5  # in one cell of 40: below 5 %
    counts[:, 1] = 0
    counts[:2, 1] = 5  # in two: just enough
    counts[:, 2] = 20  # every cell has counts
    return ad.AnnData(counts)


def scanpys(adata, **options):
    """The same steps one by one."""
    adata = adata.copy()
    sc.pp.normalize_total(adata, **options)
    sc.pp.log1p(adata)
    sc.pp.filter_genes(adata, min_cells=int(np.ceil(0.05 * adata.n_obs)))
    return adata


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("options", [{}, {"target_sum": 1e4}])
def test_it_is_scanpys_steps_in_the_papers_order(form, options):
    adata = cells()
    expected = scanpys(adata, **options)
    counts = adata[:, expected.var_names].X.copy()
    adata.X = form(adata.X)
    assert single_cell(adata, **options) is None
    assert list(adata.var_names) == list(expected.var_names)
    x, kept = (m.toarray() if sparse.issparse(m) else m for m in (adata.X, adata.layers["counts"]))
    np.testing.assert_allclose(x, expected.X, rtol=1e-5)
    np.testing.assert_array_equal(kept, counts)
    np.testing.assert_array_equal(adata.var["n_cells"], expected.var["n_cells"])
    assert sparse.issparse(adata.X) == (form is not np.asarray)


def test_a_gene_in_exactly_five_percent_of_the_cells_stays():
    adata = cells()
    single_cell(adata)
    assert "0" not in adata.var_names
    assert "1" in adata.var_names


def test_counts_may_be_in_a_layer_and_of_integer_type():
    adata = cells()
    expected = single_cell(adata, copy=True)
    adata.layers["raw"] = adata.X.astype(np.int32)
    adata.X = np.full(adata.shape, -1.0)
    single_cell(adata, layer="raw")
    np.testing.assert_array_equal(adata.X, expected.X)
    assert adata.X.dtype == np.float32
    assert adata.layers["counts"].dtype == np.int32


def test_a_copy_leaves_the_input_alone_and_a_view_becomes_actual():
    adata = cells()
    before = adata.X.copy()
    assert single_cell(adata, copy=True).n_vars < adata.n_vars
    np.testing.assert_array_equal(adata.X, before)
    assert not adata.layers
    view = adata[:20]
    single_cell(view)
    assert not view.is_view
    np.testing.assert_array_equal(adata.X, before)


def test_values_normalised_before_are_filtered_and_logged_only():
    adata = cells()
    adata.X = adata.X * 0.37
    expected = np.log1p(adata[:, (adata.X > 0).sum(axis=0) >= 2].X)
    single_cell(adata, normalize=False)
    np.testing.assert_allclose(adata.X, expected, rtol=1e-6)
    assert "counts" not in adata.layers


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_what_is_written_survives_a_file(form, tmp_path):
    adata = cells()
    single_cell(adata)
    getattr(adata, f"write_{form}")(tmp_path / f"x.{form}")
    back = getattr(ad, f"read_{form}")(tmp_path / f"x.{form}")
    np.testing.assert_array_equal(back.X, adata.X)
    np.testing.assert_array_equal(back.layers["counts"], adata.layers["counts"])
    assert "log1p" in back.uns


def test_the_result_goes_on_to_the_gaussian_methods_without_a_warning():
    adata = cells()
    single_cell(adata)
    influential_features(adata)
    assert adata.var["influential"].any()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-3.0, "negative values, down to -3: these are not counts"),
        (0.5, "not whole, so these are not counts.*normalize=False"),
        (np.nan, "NaN or infinite"),
    ],
)
def test_what_are_no_counts_is_refused_and_nothing_is_written(form, value, message):
    adata = cells()
    adata.X[3, 4] = value
    adata.X = form(adata.X)
    with pytest.raises(DataError, match=message):
        single_cell(adata)
    assert adata.n_vars == 30
    assert not adata.layers


def test_negative_values_have_no_logarithm_either():
    adata = cells()
    adata.X[3, 4] = -3.0
    with pytest.raises(DataError, match="negative"):
        single_cell(adata, normalize=False)


def test_cells_without_counts_and_genes_in_no_cell_are_named():
    adata = cells()
    adata.X[5:7] = 0
    with pytest.raises(DataError, match="2 cells of 40 have no counts"):
        single_cell(adata)
    adata = ad.AnnData(np.eye(40))
    with pytest.raises(DataError, match="none of the 40 genes is found in 2 of 40 cells"):
        single_cell(adata)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_cells_fraction": 5}, ValueError, "min_cells_fraction=5 must be from 0 to 1"),
        ({"target_sum": 0}, ValueError, "target_sum=0 must be above 0"),
        ({"target_sum": 1e4, "normalize": False}, ValueError, "no use with normalize=False"),
        ({"layer": "count"}, KeyError, "layer='count' not found"),
    ],
)
def test_options_that_cannot_be_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        single_cell(cells(), **options)


def test_a_backed_matrix_is_refused_with_the_way_out(tmp_path):
    cells().write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(TypeError, match=r"adata\.to_memory"):
        single_cell(ad.read_h5ad(tmp_path / "x.h5ad", backed="r"))
