"""Class enrichment: finds the class, and keeps its error rate where perturbagens repeat."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError


@pytest.fixture
def reference():
    """Four classes of five compounds in four wells each; the wells of a compound are alike."""
    return _reference(np.random.default_rng(0), class_effect=1.0)


def _reference(rng, class_effect):
    classes = np.repeat(np.arange(4), 20)
    compound = np.repeat(np.arange(20), 4)
    x = class_effect * rng.normal(size=(4, 40))[classes]
    x = x + 1.5 * rng.normal(size=(20, 40))[compound] + rng.normal(size=(80, 40))
    obs = pd.DataFrame(
        {"pcl": [f"class {k}" for k in classes], "pert_id": [f"BRD-{c}" for c in compound]},
        index=[f"s{i}" for i in range(80)],
    )
    return ad.AnnData(x, obs)


def test_the_class_of_the_query_is_found(reference):
    prototypes = [reference[reference.obs["pcl"] == f"class {k}"].X.mean(0) for k in range(4)]
    query = ad.AnnData(np.stack(prototypes), var=reference.var)
    query.obs_names = [f"class {k}" for k in range(4)]
    found = sg.tl.class_enrichment(query, reference, n_perm=200)
    first = found.groupby("query").first()
    assert (first["class"] == first.index).all()
    assert (first["fdr"] < 0.05).all()
    assert (first["es"] > 0.5).all()
    assert (first["nes"] > 1.5).all()
    assert found["n"].eq(20).all()
    assert found["n_units"].eq(5).all()
    assert found["pvalue"].between(1 / 201, 1).all()


def test_scores_are_those_of_gene_sets(reference):
    query = reference[[3, 30]]
    found = sg.tl.class_enrichment(query, reference, n_perm=5)
    similarity = np.corrcoef(query.X, reference.X)[:2, 2:]
    masks = np.stack([reference.obs["pcl"] == f"class {k}" for k in range(4)])
    expected = sg.metrics.enrichment_score(similarity, masks)
    for row, name in enumerate(query.obs_names):
        mine = found[found["query"] == name].set_index("class")["es"]
        np.testing.assert_allclose(mine.sort_index(), expected[row], atol=1e-5)


def test_a_query_that_is_like_nothing_has_no_p_value_and_says_why(reference):
    query = reference[:2].copy()
    query.X[0] = 1
    found = sg.tl.class_enrichment(query, reference, n_perm=50)
    flat = found[found["query"] == "s0"]
    assert flat[["es", "nes", "pvalue", "fdr"]].isna().all(axis=None)
    assert flat["missing"].eq("the query is like and unlike no signature of the class").all()
    other = found[found["query"] == "s1"]
    expected = sg.tl.class_enrichment(query[1:], reference, n_perm=50)
    pd.testing.assert_frame_equal(other.reset_index(drop=True), expected)
    assert (other["missing"] == "").all()


def test_random_queries_are_as_rarely_significant_as_said():
    """Wells of a compound are alike, so permuting single wells finds classes in noise."""
    rng = np.random.default_rng(3)
    by_compound, by_well = [], []
    for _ in range(12):
        reference = _reference(rng, class_effect=0.0)
        query = ad.AnnData(rng.normal(size=(15, 40)), var=reference.var)
        query.obs_names = [f"q{i}" for i in range(15)]
        for unit_key, pvalues in (("pert_id", by_compound), (None, by_well)):
            found = sg.tl.class_enrichment(query, reference, unit_key=unit_key, n_perm=59)
            pvalues.extend(found["pvalue"])
    assert np.mean(np.array(by_compound) <= 0.05) < 0.08
    assert np.mean(np.array(by_well) <= 0.05) > 0.10


def test_same_seed_same_result_and_queries_do_not_depend_on_one_another(reference):
    both = sg.tl.class_enrichment(reference[[3, 30]], reference, n_perm=20)
    alone = sg.tl.class_enrichment(reference[[30]], reference, n_perm=20)
    pd.testing.assert_frame_equal(both[4:].reset_index(drop=True), alone)
    other = sg.tl.class_enrichment(reference[[30]], reference, n_perm=20, random_state=1)
    assert not other["nes"].equals(alone["nes"])


def test_unlabelled_signatures_are_background_and_small_classes_are_left_out(reference):
    reference.obs.loc[reference.obs["pcl"] == "class 3", "pcl"] = None
    reference.obs.loc[reference.obs["pert_id"] == "BRD-0", "pcl"] = "small"
    found = sg.tl.class_enrichment(reference[:1], reference, n_perm=5, min_size=5)
    assert set(found["class"]) == {"class 0", "class 1", "class 2"}
    assert found.set_index("class").loc["class 0", ["n", "n_units"]].tolist() == [16, 4]


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_every_metric_finds_the_class(reference, metric):
    prototype = reference[reference.obs["pcl"] == "class 2"].X.mean(0, keepdims=True)
    query = ad.AnnData(prototype, var=reference.var)
    found = sg.tl.class_enrichment(query, reference, n_perm=100, metric=metric)
    assert found["class"][0] == "class 2"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_key": "moa"}, KeyError, "label_key='moa'"),
        ({"unit_key": "pert"}, KeyError, "did you mean 'pert_id'"),
        ({"n_perm": 0}, ValueError, "n_perm=0"),
        ({"min_size": 21}, DataError, "the largest of 4 has 20"),
    ],
)
def test_wrong_options_are_named(reference, options, error, message):
    with pytest.raises(error, match=message):
        sg.tl.class_enrichment(reference[:1], reference, **options)


def test_a_perturbagen_of_two_classes_is_refused(reference):
    reference.obs.loc["s0", "pcl"] = "class 3"
    with pytest.raises(DataError, match=r"'BRD-0' has signatures of several classes .*class 3"):
        sg.tl.class_enrichment(reference[:1], reference)
