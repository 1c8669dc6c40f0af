"""The verb: published numbers on real data, every kind of matrix, bad input."""

from __future__ import annotations

import logging
import warnings

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sigilla.errors import DataError
from sigilla.pp import _strips, influential_features

# Genes kept, from the method's papers and their authors' result files.
PUBLISHED = {
    "brain": (None, 453, 453),
    "leukemia": (None, 213, 213),
    "colon": ("dettling", 25, 45),
    "lung1": (None, 251, 251),
    "prostate": (None, 1551, 1551),
}


def clustered(n=60, p=200, *, shift=3.0, signal=10, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)).astype(np.float32)
    X[: n // 2, :signal] += shift
    return ad.AnnData(X)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_number_of_genes_is_kept_in_any_order_of_samples(name, mirror):
    layer, fewest, most = PUBLISHED[name]
    adata = ad.read_h5ad(mirror(f"microarray/{name}.h5ad"))
    shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    influential_features(adata, layer=layer)
    influential_features(shuffled, layer=layer)
    assert fewest <= adata.var["influential"].sum() <= most
    pd.testing.assert_frame_equal(adata.var, shuffled.var)


def test_the_published_simulation_gives_the_published_number_too(mirror):
    adata = ad.read_h5ad(mirror("microarray/leukemia.h5ad"))
    influential_features(adata, null="simulate")
    assert adata.var["influential"].sum() == 213


def test_influential_genes_are_found_and_kept_ones_are_the_smallest_p_values():
    adata = clustered(p=1000, signal=30, shift=4.0)
    influential_features(adata)
    chosen = adata.var["influential"]
    assert chosen.to_numpy()[:30].sum() >= 25
    assert chosen.to_numpy()[30:].sum() <= 30
    assert adata.uns["influential"]["n_selected"] == chosen.sum()
    kept = adata.var["if_pvalue"] <= adata.uns["influential"]["threshold"]
    pd.testing.assert_series_equal(kept, chosen, check_names=False)


@pytest.mark.parametrize("seed", range(5))
def test_noise_keeps_few_genes(seed):
    adata = ad.AnnData(np.random.default_rng(seed).normal(size=(80, 3000)))
    influential_features(adata)
    assert adata.var["influential"].sum() <= 0.05 * adata.n_vars


def stored(adata, kind, tmp_path):
    if kind == "dask":
        adata.X = da.from_array(adata.X, chunks=(17, 60))
        return adata
    if kind == "dask of sparse":
        adata.X = da.from_array(adata.X, chunks=(17, -1)).map_blocks(sparse.csr_matrix)
        return adata
    if kind != "backed dense":
        adata.X = {"backed csr": sparse.csr_matrix, "backed csc": sparse.csc_matrix}[kind](adata.X)
    adata.write_h5ad(tmp_path / "x.h5ad")
    return ad.read_h5ad(tmp_path / "x.h5ad", backed="r")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "kind", ["dask", "dask of sparse", "backed dense", "backed csr", "backed csc"]
)
def test_a_matrix_that_is_not_in_memory_is_read_in_strips(kind, masked, tmp_path, monkeypatch):
    adata = clustered()
    adata.X[np.abs(adata.X) < 0.7] = 0
    mask = np.arange(adata.n_vars) % 3 > 0 if masked else None
    expected = influential_features(adata, mask_var=mask, copy=True).var
    monkeypatch.setattr(_strips, "STRIP_BYTES", 60 * 4 * 33)
    elsewhere = stored(adata.copy(), kind, tmp_path)
    influential_features(elsewhere, mask_var=mask)
    pd.testing.assert_frame_equal(elsewhere.var, expected)


def test_masked_and_constant_genes_are_never_chosen(caplog):
    adata = clustered()
    adata.X[:, 20:25] = 1.5
    adata.var["use"] = np.arange(adata.n_vars) >= 5
    with caplog.at_level(logging.INFO, logger="sigilla"):
        influential_features(adata, mask_var="use")
    chosen = adata.var["influential"].to_numpy().nonzero()[0]
    assert {5, 6, 7, 8, 9} & set(chosen)
    assert min(chosen) >= 5
    unscored = adata.var["if_score"].isna()
    assert unscored.to_numpy().nonzero()[0].tolist() == [0, 1, 2, 3, 4, 20, 21, 22, 23, 24]
    assert not adata.var["influential"][unscored].any()
    assert "5 constant genes of 195" in caplog.text


def test_a_layer_is_used_in_place_of_x():
    adata = clustered()
    adata.layers["other"] = clustered(seed=1).X
    influential_features(adata, layer="other")
    expected = influential_features(clustered(seed=1), copy=True).var
    pd.testing.assert_frame_equal(adata.var, expected)


def test_copy_leaves_the_input_alone_and_key_added_names_everything():
    adata = clustered()
    changed = influential_features(adata, key_added="first", copy=True)
    assert adata.var.empty
    assert list(changed.var) == ["first", "first_score", "first_pvalue"]
    assert "first" in changed.uns


def test_a_view_becomes_an_actual_copy_and_its_parent_stays():
    adata = clustered()
    view = adata[5:]
    influential_features(view)
    assert "influential" in view.var
    assert adata.var.empty


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_what_is_written_survives_a_file(form, tmp_path):
    adata = clustered()
    influential_features(adata)
    path = tmp_path / f"x.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(back.var, adata.var)
    assert back.uns["influential"]["params"] == {"null": "table", "fraction": 1.0}
    np.testing.assert_array_equal(
        back.uns["influential"]["higher_criticism"], adata.uns["influential"]["higher_criticism"]
    )


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_counts_are_warned_of_once_and_still_scored(form, dtype):
    counts = np.random.default_rng(0).negative_binomial(2, 0.2, size=(50, 300)).astype(dtype)
    adata = ad.AnnData(form(counts))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        influential_features(adata)
    assert [w.category for w in caught] == [UserWarning]
    assert "take the logarithm first" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert adata.var["if_score"].notna().all()


@pytest.mark.parametrize("name", ["lung1", "brain"])
def test_measured_intensities_are_not_taken_for_counts(name, mirror):
    influential_features(ad.read_h5ad(mirror(f"microarray/{name}.h5ad")))


def test_fewer_than_three_samples_are_refused():
    with pytest.raises(DataError, match="2 samples are too few"):
        influential_features(ad.AnnData(np.eye(2, 9)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused_and_nothing_is_written(value):
    adata = clustered()
    adata.X[3, 4] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        influential_features(adata)
    assert adata.var.empty


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"null": "tables"}, ValueError, "null='tables' not found; did you mean 'table'"),
        ({"fraction": 0.0}, ValueError, r"fraction=0.0 must be above 0"),
        ({"fraction": 1.5}, ValueError, r"fraction=1.5 must be above 0"),
        ({"layer": "scale"}, KeyError, "layer='scale' not found; did you mean 'scaled'"),
        ({"mask_var": "hvg"}, KeyError, "mask_var='hvg' not found"),
        ({"mask_var": np.zeros(200, dtype=bool)}, ValueError, "leaves no gene"),
        ({"mask_var": np.ones(3, dtype=bool)}, ValueError, "must be 200 booleans"),
        ({"n_jobs": -3}, ValueError, "n_jobs=-3 must be"),
    ],
)
def test_options_that_cannot_be_are_refused(options, error, message):
    adata = clustered()
    adata.layers["scaled"] = adata.X
    with pytest.raises(error, match=message):
        influential_features(adata, **options)


def test_a_missing_x_is_refused():
    with pytest.raises(ValueError, match=r"adata\.X is empty"):
        influential_features(ad.AnnData(shape=(10, 4)))
