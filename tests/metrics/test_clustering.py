"""Matched clustering errors against trying every matching."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigilla.errors import DataError
from sigilla.metrics import clustering_error


def by_trying_everything(true, predicted):
    classes, clusters = sorted(set(true)), sorted(set(predicted))
    pad = [object() for _ in clusters]  # clusters may stay without a class
    return min(
        sum(
            dict(zip(clusters, names, strict=False))[c] != t
            for t, c in zip(true, predicted, strict=True)
        )
        for names in itertools.permutations([*classes, *pad], len(clusters))
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12))
def test_the_matching_is_the_best_of_all(pairs):
    true, predicted = zip(*pairs, strict=True)
    assert clustering_error(true, predicted) == by_trying_everything(true, predicted)


def test_names_of_clusters_do_not_matter():
    true = np.array(["a", "b", "c", "c"])
    assert clustering_error(true, [7, 3, 5, 5]) == 0
    assert clustering_error(true, ["x", "y", "z", "z"]) == 0
    assert clustering_error(pd.Categorical(true, ["c", "b", "a", "unused"]), [1, 2, 3, 3]) == 0
    assert clustering_error(pd.Series(true, index=list("pqrs")), [1, 2, 3, 3]) == 0


def test_clusters_left_over_are_errors():
    assert clustering_error([0, 0, 0, 0], [0, 0, 1, 2]) == 2
    assert clustering_error([0, 0, 1, 2], [0, 0, 0, 0]) == 2


def test_the_count_is_an_int_and_the_fraction_a_float():
    assert isinstance(clustering_error([0, 1], [0, 0]), int)
    assert clustering_error([0, 1], [0, 0], normalize=True) == 0.5


@pytest.mark.parametrize("missing", [[1.0, np.nan], ["a", None], pd.Categorical(["a", None])])
def test_missing_labels_are_refused_by_name(missing):
    with pytest.raises(DataError, match="true has 1 missing labels of 2"):
        clustering_error(missing, [0, 1])
    with pytest.raises(DataError, match="predicted has 1 missing labels of 2"):
        clustering_error([0, 1], missing)


def test_labels_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="true has 2 labels and predicted 3"):
        clustering_error([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="true must be one label per observation"):
        clustering_error([], [])
    with pytest.raises(ValueError, match="predicted must be one label per observation"):
        clustering_error([0, 1], [[0], [1]])
