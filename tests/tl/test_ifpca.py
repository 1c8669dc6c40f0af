"""IF-PCA: published errors on real data, known answers on simulated data, bad input."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from sigilla.datasets import simulate_gaussian_nuisance, simulate_rare_weak
from sigilla.errors import DataError
from sigilla.metrics import clustering_error
from sigilla.pp import influential_features
from sigilla.tl import _ifpca, _sparse_svd, _subjects, ifpca

# Errors of IF-PCA, of IF-PCA(X), and of plain PCA: published or re-run with the authors' method.
PUBLISHED = {
    "brain": (None, (11, 12), (8, 8), (6, 6)),
    "leukemia": (None, (5, 5), (3, 3), (21, 21)),
    "colon": ("dettling", (25, 25), (20, 30), (28, 30)),
    "lung1": (None, (6, 6), (23, 23), (22, 22)),
    "prostate": (None, (39, 39), (41, 42), (43, 43)),
}


def errors(adata, *args, **options):
    ifpca(adata, *(args or (adata.obs["label"].nunique(),)), **options)
    return clustering_error(adata.obs["label"], adata.obs["ifpca"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_errors_come_out(name, mirror):
    layer, *published = PUBLISHED[name]
    adata = ad.read_h5ad(mirror(f"microarray/{name}.h5ad"))
    for variant, (fewest, most) in zip(
        [{}, {"scale": False}, {"select": False}], published, strict=True
    ):
        assert fewest <= errors(adata, layer=layer, **variant) <= most, variant


@pytest.mark.parametrize("seed", range(2))
def test_clusters_do_not_depend_on_the_order_of_samples_or_the_seed(seed, mirror):
    adata = ad.read_h5ad(mirror("microarray/brain.h5ad"))
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    shuffled = adata[order].copy()
    ifpca(adata, 5)
    ifpca(shuffled, 5, random_state=seed)
    assert clustering_error(adata.obs["ifpca"].iloc[order], shuffled.obs["ifpca"]) == 0


def test_under_gaussian_nuisance_ifpca_succeeds_where_pca_fails():
    for seed in range(2):
        adata = simulate_gaussian_nuisance(random_state=seed)
        assert errors(adata) <= 0.02 * adata.n_obs
        assert adata.var.loc[adata.var["influential"], "influential_true"].sum() >= 20
        assert errors(adata, select=False) >= 0.4 * adata.n_obs


def test_without_signal_nothing_succeeds():
    adata = simulate_gaussian_nuisance(strength=0.0)
    assert errors(adata) >= 0.35 * adata.n_obs


def test_many_weak_genes_in_pure_noise_are_for_pca():
    adata = simulate_rare_weak(strength=0.75)
    assert errors(adata, select=False) <= 0.02 * adata.n_obs
    assert errors(adata) >= 0.05 * adata.n_obs


def test_strong_genes_in_pure_noise_are_for_both():
    adata = simulate_rare_weak(strength=1.25)
    assert errors(adata) <= 0.01 * adata.n_obs
    assert errors(adata, select=False) <= 0.01 * adata.n_obs


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_the_number_of_clusters_is_estimated(k):
    adata = simulate_rare_weak(
        n_obs=60 * k, n_vars=1000, n_clusters=k, n_influential=150, strength=3.0, random_state=k
    )
    assert errors(adata, None) == 0
    assert adata.uns["ifpca"]["n_clusters"] == adata.obs["ifpca"].nunique() == k
    assert adata.obsm["X_ifpca"].shape == (60 * k, k - 1)


def test_an_estimate_counts_the_factors_above_the_largest_gap():
    assert _ifpca.common_factors(np.array([9.0, 8.0, 7.0, 2.0, 1.9])) == 3
    assert _ifpca.common_factors(np.array([9.0])) == 1


@pytest.mark.parametrize("scale", [True, False])
def test_the_embedding_is_the_left_singular_vectors(scale):
    adata = simulate_rare_weak(n_obs=50, n_vars=300, n_clusters=3, n_influential=50, strength=2.0)
    ifpca(adata, 3, scale=scale)
    W = adata[:, adata.var["influential"]].X.astype(float)
    W -= W.mean(axis=0)
    if scale:
        W /= W.std(axis=0, ddof=1)
    U, S, _ = np.linalg.svd(W, full_matrices=False)
    overlap = np.abs(U[:, :2].T @ adata.obsm["X_ifpca"])
    np.testing.assert_allclose(overlap, np.eye(2), atol=1e-8)
    np.testing.assert_allclose(adata.uns["ifpca"]["singular_values"], S[:2], rtol=1e-10)


@pytest.mark.parametrize("select", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("iterate_above", [10, 10**6])
def test_sparse_input_gives_the_dense_result(select, scale, iterate_above, monkeypatch):
    monkeypatch.setattr(_ifpca, "_FULL_SVD", iterate_above)
    adata = simulate_rare_weak(n_obs=60, n_vars=300, n_influential=50, strength=3.0)
    adata.X[np.abs(adata.X) < 0.5] = 0
    dense = ifpca(adata, 2, select=select, scale=scale, copy=True)
    adata.X = sparse.csr_matrix(adata.X)
    ifpca(adata, 2, select=select, scale=scale)
    np.testing.assert_allclose(
        np.abs(adata.obsm["X_ifpca"]), np.abs(dense.obsm["X_ifpca"]), atol=1e-4
    )
    assert clustering_error(adata.obs["ifpca"], dense.obs["ifpca"]) == 0


@pytest.mark.parametrize(("dtype", "apart"), [(np.float32, 1e-4), (np.float64, 1e-10)])
def test_sparse_vectors_are_scikit_learns_whatever_the_threads(dtype, apart, monkeypatch):
    monkeypatch.setattr(_sparse_svd, "_BLOCK", 1000)  # ten blocks
    X = sparse.random(400, 150, 0.2, "csr", dtype, random_state=0)
    X.data += np.arange(len(X.data)) % 7
    X = sparse.vstack([X[:200], sparse.csr_matrix((30, 150), dtype=dtype), X[200:]], "csr")
    options = {"tol": 0.0, "random_state": 0}
    vectors, values = _sparse_svd.singular_vectors(X, 3, **options, n_jobs=1)
    again, _ = _sparse_svd.singular_vectors(X, 3, **options, n_jobs=3)
    np.testing.assert_array_equal(again, vectors)
    pca = PCA(3, svd_solver="arpack", random_state=0)
    projected = pca.fit_transform(X)
    np.testing.assert_allclose(values, pca.singular_values_, rtol=apart)
    np.testing.assert_allclose(vectors * values, projected, atol=apart * values[0])


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_genes_of_a_sparse_matrix_are_scaled_as_numpy_scales_them(dtype, monkeypatch):
    monkeypatch.setattr(_subjects, "_BLOCK", 7)
    X = np.random.default_rng(0).normal(0, 3, size=(40, 30)).round().astype(dtype)
    X[:, 4] = 2  # constant
    genes = np.arange(30) % 3 > 0
    once = sparse.csr_matrix(X)
    rows = [slice(a, b) for a, b in zip(once.indptr[:-1], once.indptr[1:], strict=True)]
    parts = (
        np.concatenate([np.tile(once.data[r], 2) for r in rows]),
        np.concatenate([np.tile(once.indices[r], 2) for r in rows]),
        once.indptr * 2,
    )
    doubled = sparse.csr_matrix(parts, shape=X.shape)  # each entry stored in two halves
    kept = X[:, genes & (np.arange(30) != 4)].astype(float)
    for stored, whole in ((once, kept), (sparse.csc_array(X), kept), (doubled, 2 * kept)):
        before = stored.copy()
        scaled = _subjects.varying_genes(stored, genes, scale=True)
        np.testing.assert_allclose(scaled.toarray(), whole / whole.std(axis=0, ddof=1), rtol=1e-12)
        unscaled = _subjects.varying_genes(stored, genes, scale=False)
        np.testing.assert_array_equal(unscaled.toarray(), whole)
        np.testing.assert_array_equal(stored.data, before.data)


def test_a_gene_that_varies_little_beside_its_mean_is_kept_sparse_or_dense():
    X = np.random.default_rng(0).normal(5000, 1, size=(500, 2))
    X = np.column_stack([X, np.full(500, 5000.0)])
    genes = np.ones(3, dtype=bool)
    dense = _subjects.varying_genes(X, genes, scale=True)
    thin = _subjects.varying_genes(sparse.csr_matrix(X), genes, scale=True)
    assert dense.shape == (500, 2)
    np.testing.assert_allclose(thin.toarray(), dense, rtol=1e-7)


def test_backed_input_gives_the_result_in_memory(tmp_path):
    adata = simulate_rare_weak(n_obs=60, n_vars=300, strength=3.0)
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    ifpca(adata, 2)
    ifpca(backed, 2)
    np.testing.assert_array_equal(backed.obsm["X_ifpca"], adata.obsm["X_ifpca"])


def test_the_selection_is_that_of_the_preprocessing_step():
    adata = simulate_rare_weak(n_obs=60, n_vars=300, strength=2.0)
    expected = influential_features(adata, copy=True).var
    ifpca(adata, 2, key_added="mine")
    pd.testing.assert_frame_equal(adata.var, expected)
    assert {"mine", "influential"} == set(adata.uns)
    assert "X_mine" in adata.obsm
    assert adata.uns["mine"]["n_genes"] == adata.var["influential"].sum()


def test_without_selection_no_gene_is_marked():
    adata = simulate_rare_weak(n_obs=60, n_vars=300)
    ifpca(adata, 2, select=False)
    assert list(adata.var) == ["influential_true"]
    assert "null" not in adata.uns["ifpca"]["params"]


def test_clusters_are_named_by_falling_size():
    adata = simulate_rare_weak(n_obs=90, n_vars=300, n_clusters=2, strength=3.0)
    smaller = np.flatnonzero(adata.obs["label"] == "cluster 0")[:25]
    adata = adata[np.setdiff1d(np.arange(90), smaller)].copy()
    ifpca(adata, 2)
    assert adata.obs["ifpca"].value_counts().to_dict() == {"0": 45, "1": 20}


def test_fewer_genes_than_clusters_give_fewer_vectors():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(rng.normal(size=(40, 2)) + rng.integers(0, 2, (40, 2)) * 10)
    ifpca(adata, 4, select=False)
    assert adata.obsm["X_ifpca"].shape == (40, 2)
    assert adata.obs["ifpca"].nunique() == 4


def test_repeated_genes_add_no_direction():
    gene = np.random.default_rng(0).normal(size=(30, 1))
    adata = ad.AnnData(np.hstack([gene, gene, 2 * gene]))
    ifpca(adata, 3, select=False)
    assert adata.obsm["X_ifpca"].shape == (30, 1)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_what_is_written_survives_a_file(form, tmp_path):
    adata = simulate_rare_weak(n_obs=40, n_vars=200, strength=3.0)
    ifpca(adata, None)
    path = tmp_path / f"x.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    np.testing.assert_array_equal(back.obsm["X_ifpca"], adata.obsm["X_ifpca"])
    assert back.uns["ifpca"]["params"] == adata.uns["ifpca"]["params"]


@pytest.mark.parametrize(
    ("n_clusters", "error", "message"),
    [
        (31, ValueError, "n_clusters=31 is more than the 30 samples"),
        (1, ValueError, "n_clusters=1 must be 2 or more"),
        (2.5, TypeError, "n_clusters=2.5 must be a whole number"),
    ],
)
def test_a_number_of_clusters_that_cannot_be_is_refused(n_clusters, error, message):
    adata = simulate_rare_weak(n_obs=30, n_vars=100)
    with pytest.raises(error, match=message):
        ifpca(adata, n_clusters)
    assert "ifpca" not in adata.obs


@pytest.mark.parametrize("select", [True, False])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_missing_values_and_constant_matrices_are_refused(form, select):
    X = np.random.default_rng(0).normal(size=(20, 30))
    X[2, 3] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        ifpca(ad.AnnData(form(X)), 2, select=select)
    with pytest.raises(DataError, match="none of the 30 genes varies"):
        ifpca(ad.AnnData(form(np.ones((20, 30)) * 0.1)), 2, select=select)
