"""Held-out accuracy against cases whose answer is known."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.report._held_out import _folds, _nearest_mean, _share, _shrinkage_lda, held_out


def blobs(sizes, *, distance, genes=10, seed=0):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    centres = distance * rng.normal(size=(len(sizes), genes))
    x = (centres[label] + rng.normal(size=(len(label), genes))).astype(np.float32)
    obs = pd.DataFrame(
        {"pcl": [f"c{k}" for k in label], "pert_id": [f"p{i // 2}" for i in range(len(label))]},
        index=[f"w{i}" for i in range(len(label))],
    )
    adata = ad.AnnData(x, obs=obs)
    sg.tl.svqvae(adata, max_epochs=10)
    return adata


def measure(adata, **options):
    return held_out(
        adata, "svqvae", **{"n_splits": None, "random_state": 0, "progress": False} | options
    )


def test_classes_far_apart_are_told_apart_by_all_but_the_constant_guess():
    found = measure(blobs([20, 20, 40], distance=5))
    assert found.n == 80
    assert found.n_splits == 5
    right = {a.method: a.value for a in found.accuracies}
    assert right.pop("always the largest class") == 0.5
    assert min(right.values()) > 0.97
    assert found.accuracies[0].method.endswith("nearest code")
    assert found.by_class.index.tolist() == ["c0", "c1", "c2"]


def test_classes_that_do_not_differ_are_guessed():
    found = measure(blobs([40, 40], distance=0))
    for accuracy in found.accuracies:
        assert accuracy.low < 0.5 < accuracy.high + 0.1


def test_small_classes_are_trained_on_but_not_asked_about():
    found = measure(blobs([20, 20, 4, 1], distance=5), n_splits=1)
    assert found.n_classes == 2
    assert sorted(found.small) == ["c2", "c3"]
    assert set(found.by_class.index) == {"c0", "c1"}
    assert found.n == 8


def test_what_the_model_was_not_fitted_to_is_not_measured():
    adata = blobs([4, 4], distance=5)
    assert "Fewer than two classes" in measure(adata)
    assert "not asked for" in measure(adata, n_splits=0)
    del adata.uns["svqvae"]["params"]["label_key"]
    assert "not fitted to labels" in measure(adata)


def test_perturbagens_on_both_sides_are_counted():
    adata = blobs([20, 20], distance=5)
    adata.obs["pert_id"] = [f"p{i}" for i in range(40)]
    assert measure(adata, n_splits=1).shared_perturbagens == 0
    adata.obs["pert_id"] = "p"
    assert measure(adata, n_splits=1).shared_perturbagens == 1
    del adata.obs["pert_id"]
    assert measure(adata, n_splits=1).shared_perturbagens is None


def test_genes_left_out_of_the_fit_are_left_out_of_the_refits():
    adata = blobs([20, 20], distance=5)
    mask = np.arange(10) < 4
    sg.tl.svqvae(adata, mask_var=mask, max_epochs=5)
    adata.X[:, ~mask] = 1e6 * np.random.default_rng(0).normal(size=(40, 6))
    assert measure(adata, n_splits=1).accuracies[0].value > 0.9


def test_every_observation_is_asked_about_once_and_folds_hold_the_same_mix():
    label = pd.Series(["a"] * 10 + ["b"] * 25)
    folds = _folds(label, np.arange(35), 5, 0)
    assert sorted(np.concatenate(folds)) == list(range(35))
    for fold in folds:
        assert label.iloc[fold].value_counts().to_dict() == {"a": 2, "b": 5}


def test_nearest_mean_by_hand():
    x = np.array([[0.0, 0], [2, 0], [10, 0]], dtype=np.float32)
    query = np.array([[5.4, 0], [5.6, 0]], dtype=np.float32)
    assert _nearest_mean(x, np.array(["a", "a", "b"]), query).tolist() == ["a", "b"]


def test_shrinkage_lda_uses_the_covariance():
    rng = np.random.default_rng(0)
    # The classes differ along the second axis; the first is louder and says nothing.
    x = rng.normal(size=(400, 2)) * [50, 1] + np.repeat([[0, 0], [0, 8]], 200, axis=0)
    y = np.repeat(["a", "b"], 200)
    assert (_shrinkage_lda(x.astype(np.float32), y, x.astype(np.float32)) == y).mean() > 0.99


def test_shrinkage_lda_bears_a_class_of_one():
    x = np.vstack([np.eye(4), 3 + np.eye(4), [[9, 9, 9, 9]]]).astype(np.float32)
    y = np.array(["a"] * 4 + ["b"] * 4 + ["c"])
    assert _shrinkage_lda(x, y, x[:8]).tolist() == y[:8].tolist()


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1)],
)
def test_intervals_are_wilsons(right, n, low, high):
    np.testing.assert_allclose(_share(right, n), (right / n, low, high), atol=1e-4)
