from __future__ import annotations

import anndata
import numpy as np
import pytest
from scipy import sparse

import sigilla as sg

QUICK = {"max_epochs": 15, "n_restarts": 2, "n_init": 10}


@pytest.fixture(scope="module")
def subjects():
    return sg.datasets.simulate_rare_weak(n_obs=90, n_vars=600, strength=2.5, random_state=0)


def errors(adata: anndata.AnnData) -> int:
    return sg.metrics.clustering_error(adata.obs["label"], adata.obs["ifvae"])


def test_hidden_classes_are_found_and_the_fit_is_stored(subjects, tmp_path):
    adata = subjects.copy()
    assert sg.tl.ifvae(adata, 2, **QUICK) is None
    assert errors(adata) <= 1
    assert adata.obsm["X_ifvae"].shape == (90, 1)
    stored = adata.uns["ifvae"]
    assert stored["n_genes"] == adata.var["influential"].sum()
    assert stored["history"]["loss"][-1] == stored["restarts"].min()
    adata.write_h5ad(tmp_path / "fitted.h5ad")
    back = anndata.read_h5ad(tmp_path / "fitted.h5ad")
    assert sg.get.model(back, "ifvae").config.n_latent == 1


def test_before_the_first_epoch_it_is_if_pca(subjects):
    adata = subjects.copy()
    sg.tl.ifvae(adata, 3, max_epochs=0, n_restarts=1)
    sg.tl.ifpca(adata, 3)
    vae, pca = adata.obsm["X_ifvae"], adata.obsm["X_ifpca"]
    for axis in range(2):
        assert abs(np.corrcoef(vae[:, axis], pca[:, axis])[0, 1]) > 0.999


def test_the_same_seed_gives_the_same_clusters_and_sparse_input_the_same_as_dense(subjects):
    first = sg.tl.ifvae(subjects, 2, copy=True, **QUICK)
    again = sg.tl.ifvae(subjects, 2, copy=True, **QUICK)
    np.testing.assert_array_equal(first.obsm["X_ifvae"], again.obsm["X_ifvae"])
    thin = subjects.copy()
    thin.X = sparse.csr_matrix(subjects.X)
    sg.tl.ifvae(thin, 2, **QUICK)
    np.testing.assert_allclose(thin.obsm["X_ifvae"], first.obsm["X_ifvae"], rtol=1e-3, atol=1e-3)
    assert "ifvae" not in subjects.uns


def test_variants_are_arguments(subjects):
    plain = sg.tl.ifvae(subjects, 2, select=False, copy=True, **QUICK)
    assert plain.uns["ifvae"]["n_genes"] == subjects.n_vars
    assert "influential" not in plain.var
    unscaled = sg.tl.ifvae(subjects, 2, scale=False, copy=True, **QUICK)
    sd = sg.get.model(unscaled, "ifvae").standardise.sd
    assert sd.min() == sd.max()
    published = sg.tl.ifvae(subjects, 2, recipe="chen2023", copy=True)
    assert published.obsm["X_ifvae"].shape == (90, 25)
    assert published.obsm["X_ifvae"].min() >= 0  # a rectified mean
    estimated = sg.tl.ifvae(subjects, None, copy=True, **QUICK)
    assert estimated.uns["ifvae"]["n_clusters"] == estimated.obs["ifvae"].nunique()


def test_bad_input_is_refused_and_nothing_is_written(subjects):
    adata = subjects.copy()
    with pytest.raises(ValueError, match="n_clusters=91 is more than the 90 samples"):
        sg.tl.ifvae(adata, 91)
    with pytest.raises(ValueError, match="n_restarts=0 must be a whole number, at least 1"):
        sg.tl.ifvae(adata, 2, n_restarts=0)
    with pytest.raises(ValueError, match="recipe='chen' is not one of"):
        sg.tl.ifvae(adata, 2, recipe="chen")
    adata.X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        sg.tl.ifvae(adata, 2)
    assert "ifvae" not in adata.uns
    assert "influential" not in adata.var


@pytest.mark.parametrize(("name", "k", "at_most"), [("leukemia", 2, 5), ("brain", 5, 14)])
def test_on_the_papers_microarrays_it_is_about_as_good_as_if_pca(mirror, name, k, at_most):
    """Published IF-PCA: 5 of 72 and 11 of 42."""
    adata = anndata.read_h5ad(mirror(f"microarray/{name}.h5ad"))
    sg.tl.ifvae(adata, k, n_restarts=3)
    assert errors(adata) <= at_most
