"""The simulated clusters are what their parameters say."""

from __future__ import annotations

import numpy as np
import pytest

from sigilla.datasets import simulate_gaussian_nuisance, simulate_rare_weak

BOTH = pytest.mark.parametrize("simulate", [simulate_rare_weak, simulate_gaussian_nuisance])


@BOTH
@pytest.mark.parametrize("k", [2, 5])
def test_influential_genes_are_those_whose_means_differ(simulate, k):
    adata = simulate(n_obs=61, n_vars=80, n_clusters=k, n_influential=12, strength=2.0)
    means = adata.varm["means"]
    differ = np.ptp(means, axis=1) > 0
    np.testing.assert_array_equal(differ, adata.var["influential_true"])
    assert differ.sum() == 12
    assert set(np.abs(means[differ]).ravel()) == {2.0}
    sizes = adata.obs["label"].value_counts()
    assert len(sizes) == k
    assert sizes.max() - sizes.min() <= 1


@BOTH
def test_influential_genes_have_their_means_and_unit_noise(simulate):
    adata = simulate(n_obs=4000, n_vars=20, n_influential=10, strength=1.5)
    found = adata.to_df().groupby(adata.obs["label"], observed=True).mean().T
    np.testing.assert_allclose(
        found[adata.var["influential_true"]],
        adata.varm["means"][adata.var["influential_true"]],
        atol=0.12,
    )
    residual = adata.X - adata.varm["means"].T[adata.obs["label"].cat.codes]
    np.testing.assert_allclose(residual[:, adata.var["influential_true"]].std(axis=0), 1, atol=0.05)


def test_nuisance_correlates_the_other_genes_only():
    adata = simulate_gaussian_nuisance(n_obs=2000, n_vars=60, n_influential=20, loading=2.0)
    residual = adata.X - adata.varm["means"].T[adata.obs["label"].cat.codes]
    correlation = np.abs(np.corrcoef(residual.T) - np.eye(60))
    true = adata.var["influential_true"].to_numpy()
    assert correlation[true].max() < 0.12
    assert np.median(correlation[~true][:, ~true]) > 0.3


@BOTH
def test_the_seed_decides(simulate):
    one, same, other = (simulate(n_obs=9, n_vars=70, random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.X, same.X)
    assert not np.array_equal(one.X, other.X)


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 1}, "n_clusters=1 must be from 2 to n_obs=10"),
        ({"n_clusters": 11}, "n_clusters=11 must be from 2"),
        ({"n_influential": 101}, "n_influential=101 must be from 0 to n_vars=100"),
    ],
)
def test_impossible_sizes_are_refused(simulate, options, message):
    with pytest.raises(ValueError, match=message):
        simulate(n_obs=10, n_vars=100, **options)
