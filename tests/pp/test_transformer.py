"""scikit-learn's own checks, and agreement with the verb."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sigilla.pp import InfluentialFeatures, influential_features


# The checks feed whole numbers and random matrices of one or two features.
@pytest.mark.filterwarnings("ignore:the values are whole numbers:UserWarning")
@parametrize_with_checks(
    [InfluentialFeatures(), InfluentialFeatures(null="simulate", fraction=0.5)]
)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


def two_groups():
    X = np.random.default_rng(0).normal(size=(60, 400))
    X[:30, :20] += 4
    return X


def test_it_selects_what_the_verb_selects():
    X = two_groups()
    adata = ad.AnnData(X)
    influential_features(adata)
    fitted = InfluentialFeatures().fit(X)
    np.testing.assert_array_equal(fitted.get_support(), adata.var["influential"])
    np.testing.assert_array_equal(fitted.pvalues_, adata.var["if_pvalue"])
    np.testing.assert_array_equal(fitted.scores_, adata.var["if_score"])
    assert fitted.threshold_ == adata.uns["influential"]["threshold"]


def test_sparse_input_stays_sparse_and_selects_the_same():
    X = two_groups() * (np.random.default_rng(1).random((60, 400)) < 0.8)
    dense = InfluentialFeatures().fit(X)
    kept = InfluentialFeatures().fit_transform(sparse.csr_matrix(X))
    assert sparse.issparse(kept)
    np.testing.assert_array_equal(kept.toarray(), dense.transform(X))


def test_ifpca_is_a_pipeline():
    X = two_groups()
    pipeline = make_pipeline(
        InfluentialFeatures(), StandardScaler(), PCA(1), KMeans(2, n_init=5, random_state=0)
    )
    clusters = pipeline.fit_predict(X)
    assert len(set(clusters[:30])) == len(set(clusters[30:])) == 1
    assert clusters[0] != clusters[-1]


def test_names_of_the_kept_features_come_out():
    X = pd.DataFrame(two_groups(), columns=[f"g{i}" for i in range(400)])
    fitted = InfluentialFeatures().fit(X)
    assert fitted.get_feature_names_out().tolist() == X.columns[fitted.get_support()].tolist()
