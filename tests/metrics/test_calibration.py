"""Calibration error: cases by hand, and what it must hold for any answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from sigilla.errors import DataError
from sigilla.metrics import calibration_error, reliability

ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_three_bins_by_hand():
    # [0, 1/3]: .2 of which none is right; (1/3, 2/3]: .5 and .6, one right; (2/3, 1]: .9, right.
    confidence, correct = [0.2, 0.5, 0.6, 0.9], [0, 1, 0, 1]
    expected = (0.2 + 2 * abs(0.55 - 0.5) + 0.1) / 4
    assert calibration_error(confidence, correct, n_bins=3) == pytest.approx(expected)
    curve = reliability(confidence, correct, n_bins=3)
    np.testing.assert_allclose(curve.confidence, [0.2, 0.55, 0.9])
    np.testing.assert_allclose(curve.accuracy, [0, 0.5, 1])
    assert curve.count.tolist() == [1, 2, 1]


def test_an_edge_belongs_to_the_bin_below_as_in_the_paper():
    assert reliability([0.0, 0.5, 0.51], [0, 0, 1], n_bins=2).count.tolist() == [2, 1]


def test_bins_of_equal_mass_are_equally_full_and_keep_ties_together():
    rng = np.random.default_rng(0)
    assert set(reliability(rng.random(100), np.ones(100), n_bins=10, bins="mass").count) <= {
        9,
        10,
        11,
    }
    assert reliability([0.5] * 30, [1] * 30, n_bins=10, bins="mass").count.tolist() == [30]


def test_the_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 500)
    right = rng.random(500) < p**2
    accuracy, confidence = calibration_curve(right, p, n_bins=8)
    curve = reliability(p, right, n_bins=8)
    np.testing.assert_allclose(curve.accuracy, accuracy)
    np.testing.assert_allclose(curve.confidence, confidence)


def test_answers_that_come_true_as_often_as_said_have_next_to_no_error():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    assert calibration_error(p, rng.random(len(p)) < p) < 0.01
    assert calibration_error(p, rng.random(len(p)) < p / 2) == pytest.approx(0.25, abs=0.01)


@given(ANSWERS)
def test_certainty_that_is_always_right_has_no_error_and_always_wrong_has_all(answers):
    n = len(answers)
    assert calibration_error([1.0] * n, [True] * n) == 0
    assert calibration_error([1.0] * n, [False] * n) == 1


@given(ANSWERS, st.integers(1, 20), st.sampled_from(["width", "mass"]))
def test_it_is_bounded_and_finer_bins_hide_nothing(answers, n_bins, bins):
    p, right = map(np.array, zip(*answers, strict=True))
    error = calibration_error(p, right, n_bins=n_bins, bins=bins)
    assert 0 <= error <= 1
    # One bin compares the means only: gaps of opposite sign cancel, so it is never larger.
    assert calibration_error(p, right, n_bins=1) <= error + 1e-12
    assert error <= np.abs(p - right).mean() + 1e-12
    order = np.random.default_rng(0).permutation(len(p))
    assert calibration_error(p[order], right[order], n_bins=n_bins, bins=bins) == pytest.approx(
        error
    )


@given(ANSWERS, st.integers(1, 20), st.sampled_from(["width", "mass"]))
def test_every_answer_is_in_one_bin(answers, n_bins, bins):
    p, right = map(np.array, zip(*answers, strict=True))
    curve = reliability(p, right, n_bins=n_bins, bins=bins)
    assert curve.count.sum() == len(p)
    assert (curve.count > 0).all()
    assert (curve.count * curve.accuracy).sum() == pytest.approx(right.sum())


@pytest.mark.parametrize(
    ("confidence", "correct", "options", "error", "message"),
    [
        ([0.5], [1], {"n_bins": 0}, ValueError, "n_bins=0"),
        ([0.5], [1], {"bins": "wide"}, ValueError, "did you mean 'width'"),
        ([0.5, 0.5], [1], {}, ValueError, r"\(2,\) and correct \(1,\)"),
        ([], [], {}, DataError, "empty"),
        ([1.2], [1], {}, DataError, "outside 0 to 1"),
        ([np.nan], [1], {}, DataError, "NaN"),
        ([0.5], [2], {}, DataError, "other than True and False"),
    ],
)
def test_wrong_input_is_named(confidence, correct, options, error, message):
    with pytest.raises(error, match=message):
        calibration_error(confidence, correct, **options)
