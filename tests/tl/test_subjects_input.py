"""Bad input to subject clustering: each case is refused, or warned of once, by every verb."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import sigilla as sg
from sigilla.errors import DataError

VERBS = {
    "ifpca": lambda adata, k=2, **options: sg.tl.ifpca(adata, k, n_init=2, **options),
    "ifvae": lambda adata, k=2, **options: sg.tl.ifvae(
        adata, k, n_init=2, max_epochs=1, n_restarts=2, **options
    ),
}
VARIANTS = [(verb, select) for verb in VERBS for select in (True, False)]


def subjects(n=30, p=50):
    return ad.AnnData(np.random.default_rng(0).normal(size=(n, p)).astype(np.float32))


def untouched(adata):
    return not (set(adata.obs) | set(adata.obsm) | set(adata.uns) | set(adata.var))


@pytest.mark.parametrize(("verb", "select"), VARIANTS)
def test_constant_genes_take_no_part(verb, select):
    adata = subjects()
    constant = [3, 17]
    adata.X[:, constant] = 0.1
    VERBS[verb](adata, select=select)
    without = adata[:, np.setdiff1d(np.arange(50), constant)].copy()
    VERBS[verb](without, select=select, key_added="again")
    assert adata.uns[verb]["n_genes"] == without.uns["again"]["n_genes"]
    assert sg.metrics.clustering_error(adata.obs[verb], without.obs["again"]) == 0
    if select:
        assert not adata.var["influential"].iloc[constant].any()


@pytest.mark.parametrize(("verb", "select"), VARIANTS)
def test_fewer_than_three_samples_are_refused(verb, select):
    adata = subjects(n=2)
    with pytest.raises(DataError, match="2 samples are too few"):
        VERBS[verb](adata, select=select)
    assert untouched(adata)


@pytest.mark.parametrize(("verb", "select"), VARIANTS)
def test_more_clusters_than_samples_are_refused(verb, select):
    adata = subjects()
    with pytest.raises(ValueError, match="n_clusters=31 is more than the 30 samples"):
        VERBS[verb](adata, 31, select=select)
    assert untouched(adata)


@pytest.mark.parametrize(("verb", "select"), VARIANTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(verb, select, value):
    adata = subjects()
    adata.X[2, 3] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        VERBS[verb](adata, select=select)
    assert untouched(adata)


@pytest.mark.parametrize(("verb", "select"), VARIANTS)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_counts_are_warned_of_once_with_what_to_do(verb, select, form):
    counts = np.random.default_rng(0).poisson(5, size=(30, 50))
    adata = ad.AnnData(form(counts.astype(np.float32)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        VERBS[verb](adata, select=select)
    told = [str(w.message) for w in caught if "whole numbers" in str(w.message)]
    assert len(told) == 1
    assert "sg.pp.single_cell" in told[0]
    assert "layer=" in told[0]


@pytest.mark.parametrize(("verb", "select"), VARIANTS)
def test_the_recipe_for_counts_ends_the_warning(verb, select):
    adata = ad.AnnData(np.random.default_rng(0).poisson(5, size=(30, 50)).astype(np.float32))
    sg.pp.single_cell(adata)
    VERBS[verb](adata, select=select)


def test_negative_counts_are_refused_where_counts_are_needed():
    adata = ad.AnnData(np.random.default_rng(0).poisson(5, size=(30, 50)).astype(np.float32))
    adata.X[0, 0] = -1
    with pytest.raises(DataError, match="negative values, down to -1: these are not counts"):
        sg.pp.single_cell(adata)


@pytest.mark.parametrize(
    ("n_obs", "batch_size", "passes"),
    [(42, 64, 100), (181, 64, 100), (2638, 64, 8), (10**6, 64, 1), (2638, 2638, 100)],
)
def test_many_samples_get_no_more_steps_than_few(n_obs, batch_size, passes):
    from sigilla.tl._ifvae import epochs

    assert epochs(n_obs, batch_size) == passes


def test_the_rate_falls_with_the_number_of_genes_unless_it_is_given():
    for p, rate in ((50, 5e-4), (2000, 1.25e-4)):
        adata = subjects(p=p)
        VERBS["ifvae"](adata, select=False)
        assert sg.get.model(adata, "ifvae").config.learning_rate == pytest.approx(rate)
    VERBS["ifvae"](adata, select=False, learning_rate=1e-3)
    assert sg.get.model(adata, "ifvae").config.learning_rate == 1e-3
