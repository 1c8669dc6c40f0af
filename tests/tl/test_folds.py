"""Folds of perturbagens: nothing of a unit on both sides, every class on the training side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from sigilla.errors import DataError
from sigilla.tl._folds import deal, units_of

# Classes as numbers of signatures of each of their units, at least one class of two units.
CLASSES = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=6), min_size=1, max_size=6).map(
    lambda sizes: [[3, 2], *sizes]
)


def laid_out(sizes):
    label = [k for k, units in enumerate(sizes) for n in units for _ in range(n)]
    unit = [u for u, n in enumerate(n for units in sizes for n in units) for _ in range(n)]
    return np.array(label), np.array(unit)


@given(CLASSES, st.integers(0, 5))
def test_units_are_never_split_and_classes_never_left_out_whole(sizes, seed):
    label, unit = laid_out(sizes)
    folds = deal(label, unit, len(sizes), 2, seed)
    asked = []
    for f in range(2):
        training, test = folds.training(f), folds.test(f)
        assert not set(unit[training]) & set(unit[test])
        assert set(label[test]) <= set(label[training])
        asked += test.tolist()
    assert sorted(asked) == np.flatnonzero(folds.asked).tolist()
    several = [k for k, units in enumerate(sizes) if len(units) > 1]
    assert set(label[folds.asked]) == set(several)
    assert (folds.left_out[~folds.asked] == -1).all()
    assert folds.units_per_class.tolist() == [len(units) for units in sizes]


def test_every_class_is_spread_over_as_many_folds_as_it_can_fill():
    sizes = [[5, 1], [4, 4, 4], [2] * 7, [9, 1, 1, 1, 1]]
    label, unit = laid_out(sizes)
    for seed in range(20):
        folds = deal(label, unit, 4, 5, seed)
        for k, units in enumerate(sizes):
            assert len(set(folds.left_out[label == k])) == min(len(units), 5)


def test_single_signatures_are_stratified():
    label = np.repeat([0, 1, 2], [50, 25, 10])
    folds = deal(label, np.arange(85), 3, 5, 0)
    for f in range(5):
        assert np.bincount(label[folds.test(f)]).tolist() == [10, 5, 2]


def test_what_a_left_out_perturbagen_has_without_a_label_is_left_out_too():
    label = np.array([0, 0, 1, 1, -1, -1, 0])
    unit = np.array([0, 1, 2, 3, 0, 4, 5])
    folds = deal(label, unit, 2, 2, 0)
    assert folds.left_out[4] == folds.left_out[0] >= 0
    assert folds.left_out[5] == -1
    assert not folds.asked[[4, 5]].any()


def test_a_perturbagen_of_two_classes_is_one_unit():
    label, unit = np.array([0, 1, 0, 1, 2]), np.array([0, 0, 1, 2, 1])
    folds = deal(label, unit, 3, 2, 0)
    assert folds.left_out[0] == folds.left_out[1]
    # The class of one unit is not asked about, but its unit is: it must not be learnt from then.
    assert not folds.asked[4]
    assert folds.left_out[4] == folds.left_out[2]


def test_the_seed_decides():
    label, unit = laid_out([[2] * 8, [3] * 8])
    first, again, other = (deal(label, unit, 2, 4, seed).left_out for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_nothing_to_ask_about_and_too_many_folds_are_refused():
    with pytest.raises(DataError, match="no class has two"):
        deal(np.array([0, 0, 1]), np.array([0, 0, 1]), 2, 2, 0)
    with pytest.raises(DataError, match=r"n_splits=5 .* only 4"):
        deal(np.array([0, 0, 1, 1]), np.arange(4), 2, 5, 0)


def test_units_without_a_value_are_their_own():
    obs = pd.DataFrame({"pert_id": ["b", None, "a", "b", ""]}, index=list("vwxyz"))
    adata = AnnData(np.zeros((5, 1)), obs=obs)
    units = units_of(adata, "pert_id")
    assert units[0] == units[3]
    assert len(set(units)) == 4
    with pytest.raises(KeyError, match="did you mean 'pert_id'"):
        units_of(adata, "pert")
