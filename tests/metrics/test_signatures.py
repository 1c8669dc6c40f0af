"""Signature strength and activity."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from sigilla.metrics import signature_strength, transcriptional_activity


def test_strength_counts_the_genes_beyond_the_threshold_after_undoing_the_shrinkage():
    z = np.array([[0.9, 1.0, -1.1, 2.0, -3.0]])
    assert signature_strength(z, 1).tolist() == [2]
    assert signature_strength(z, 4).tolist() == [4]
    assert signature_strength(z, [4], threshold=6).tolist() == [1]


def test_noise_has_the_strength_of_noise_whatever_its_replicates():
    rng = np.random.default_rng(0)
    n = np.array([1, 2, 3, 5, 8])
    z = rng.normal(size=(5, 40_000)) / np.sqrt(n)[:, None]
    # P(|N(0, 1)| >= 2) = 0.0455
    np.testing.assert_allclose(signature_strength(z, n) / 40_000, 0.0455, atol=0.005)


def test_activity_is_one_only_where_every_gene_moves_in_every_replicate():
    tas = transcriptional_activity([978, 978, 0, 100], [1, np.nan, 1, -0.2], n_genes=978)
    np.testing.assert_array_equal(tas, [1, np.nan, 0, 0])


def test_single_replicates_and_negative_strengths_are_refused():
    with pytest.raises(ValueError, match="n_replicates must be 1 or more"):
        signature_strength([[1.0]], [0])
    with pytest.raises(ValueError, match="one n_replicates each"):
        signature_strength([[1.0]], [1, 2])
    with pytest.raises(ValueError, match="n_genes=5"):
        transcriptional_activity([6], [0.1], n_genes=5)


def test_strong_signatures_of_the_release_are_its_gold_ones(mirror):
    """The release marks a signature as gold by its strength and replicate correlation."""
    adata = ad.read_h5ad(mirror("lincs/l1000_modz_n272.h5ad"))
    obs = adata.obs[adata.obs["distil_nsample"] > 1]
    z = np.asarray(adata[obs.index].X)
    strength = signature_strength(z, obs["distil_nsample"])
    tas = transcriptional_activity(strength, obs["distil_cc_q75"], n_genes=adata.n_vars)
    gold = obs["is_gold"].to_numpy() == 1
    assert np.median(tas[gold]) > 2 * np.median(tas[~gold])
