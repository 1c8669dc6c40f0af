"""The table against simulation and against published critical values."""

from __future__ import annotations

import numpy as np
import pytest

from sigilla.pp._null import SimulatedNull, TabulatedNull

SIZES = [3, 4, 6, 11, 12, 13, 42, 181, 700]


@pytest.mark.parametrize("n", SIZES)
def test_tabulated_p_values_are_the_simulated_ones(n):
    simulated = SimulatedNull(n, min(200_000, 10**7 // n), random_state=1, n_jobs=1)
    draws = len(simulated._sorted)
    at = simulated._sorted[:: draws // 50]
    expected = simulated.sf(at)
    noise = np.sqrt(np.maximum(expected * (1 - expected), 1 / draws) / draws)
    allowed = 5 * noise + (0.02 if n == 3 else 0.0005)  # at n = 3 the law has corners
    assert np.all(np.abs(TabulatedNull(n).sf(at) - expected) < allowed)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_tabulated_moments_are_the_simulated_ones(n, fraction):
    draws = min(200_000, 10**7 // n)
    simulated = SimulatedNull(n, draws, random_state=2, n_jobs=1).moments(fraction)
    np.testing.assert_allclose(
        TabulatedNull(n).moments(fraction), simulated, atol=0.8 / np.sqrt(draws) + 0.0005
    )


@pytest.mark.parametrize("n", [20, 50, 100])
def test_published_critical_values_are_exceeded_as_often_as_they_say(n):
    # Stephens (1974), EDF statistics for goodness of fit, JASA 69:730-737: both parameters
    # estimated, upper tail of D (sqrt(n) - 0.01 + 0.85 / sqrt(n)). His variance is the unbiased
    # one, which at these sizes shows in the third digit.
    critical = np.array([0.775, 0.819, 0.895])
    statistic = critical / (np.sqrt(n) - 0.01 + 0.85 / np.sqrt(n))
    p = TabulatedNull(n).sf(np.sqrt(n) * statistic)
    np.testing.assert_allclose(p, [0.15, 0.10, 0.05], rtol=0.08)


def test_larger_samples_approach_a_limit():
    moments = np.array([TabulatedNull(n).moments(1.0) for n in (3000, 10**5, 10**7, 10**9)])
    assert np.all(np.diff(moments[:, 0]) > 0)
    assert np.ptp(moments, axis=0).max() < 0.005


@pytest.mark.parametrize("n", [5, 42, 10**6])
def test_the_p_value_falls_strictly_beyond_the_table(n):
    p = TabulatedNull(n).sf(np.linspace(0.3, 3.0, 500))
    assert np.all(np.diff(p) <= 0)
    tail = p[(p < 1e-3) & (p > 0)]
    assert len(tail) > 10
    assert np.all(np.diff(tail) < 0)


def test_simulation_is_the_same_for_any_number_of_threads_and_not_for_another_seed():
    one = SimulatedNull(600, 3000, random_state=3, n_jobs=1)._sorted
    three = SimulatedNull(600, 3000, random_state=3, n_jobs=3)._sorted
    other = SimulatedNull(600, 3000, random_state=4, n_jobs=1)._sorted
    np.testing.assert_array_equal(one, three)
    assert not np.array_equal(one, other)
