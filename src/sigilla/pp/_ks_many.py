"""The Kolmogorov-Smirnov score of genes of many samples, without sorting all of them.

Both distributions rise, so what they are at the two edges of a bin bounds how far they are apart
inside it. The values of a gene are counted in equal bins, and only those of a bin whose bound is
above the distance found at an edge are sorted and looked at: of sparse genes one in a hundred or
less. The score is the one that all values sorted would give, but for rounding.

Neither counts nor the sums of the moments depend on the order of the samples: here, too, permuted
samples give bit-identical scores.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from sigilla.pp._compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = NDArray[np.float32] | NDArray[np.float64]

# Standard deviations on either side of the mean that the bins divide; the outer two have the rest.
_REACH = 4.0
# Least and most bins; between, one for every eight to sixteen values.
_MIN_BINS, _MAX_BINS = 64, 4096


def score_many(values: Values, n: int) -> float:
    """Score a gene of ``n`` samples, of which those without a value are zero.

    A gene with NaN or infinite values, or with values so large that their squares are infinite,
    scores ``inf``; a constant one ``nan``.
    """
    missing = {"initial": 0.0} if len(values) < n else {}
    # Both are NaN if any value is.
    low, high = float(values.min(**missing)), float(values.max(**missing))
    if not (math.isfinite(low) and math.isfinite(high)):
        return math.inf
    if low == high:
        return math.nan
    bins = min(max(_MIN_BINS, 1 << (len(values) // 16).bit_length()), _MAX_BINS)
    return float(_score(values, n, low, high, _edges(bins)))


@lru_cache
def _edges(bins: int) -> Floats:
    """The normal distribution at the edges of the bins."""
    cdf = ndtr(np.linspace(-_REACH, _REACH, bins + 1))
    cdf[[0, -1]] = 0.0, 1.0
    return np.asarray(cdf)


@compiled
def _score(values: Values, n: int, low: float, high: float, edges: Floats) -> float:
    if not math.isfinite(n * (2 * (high - low)) ** 2):
        return np.inf
    # Deviations are taken from the middle first: the mean alone has too few digits if it is large.
    zeros, middle = n - len(values), low / 2 + high / 2
    half = max(high - middle, middle - low)
    per_one = _units(n * half)
    # In whole units, so that the deviation of a zero, which many samples share, is not rounded.
    middle = np.rint(middle * per_one) / per_one
    mean, sd = _moments(values, zeros, middle, half, per_one)
    if sd == 0:  # they differ by less than can be squared
        return np.nan
    return math.sqrt(n) * _distance(values, zeros, middle, mean, 1 / sd, edges)


@compiled
def _moments(
    values: Values, zeros: int, middle: float, half: float, per_one: float
) -> tuple[float, float]:
    """Mean, from the middle, and standard deviation: the same for samples in whichever order.

    Sums of integers do not depend on it. So deviations, and then their squares, are counted in
    units so small that the sum is at most about 2^62.
    """
    n = len(values) + zeros
    total = np.int64(0)
    for i in range(len(values)):
        total += np.int64(np.rint((values[i] - middle) * per_one))
    mean = (total / per_one - zeros * middle) / n

    # The variance is at most the product of the distances of mean and extremes (Bhatia & Davis).
    per_one, total = _units(n * (half + mean) * (half - mean)), np.int64(0)
    for i in range(len(values)):
        deviation = values[i] - middle - mean
        total += np.int64(np.rint(deviation * deviation * per_one))
    return mean, math.sqrt((total / per_one + zeros * (middle + mean) ** 2) / n)


@compiled
def _units(limit: float) -> float:
    """How many units make one, if sums are at most ``limit``; spreads below 1e-147 lose digits."""
    return math.ldexp(1.0, min(62 - math.frexp(limit)[1], 1023))


@compiled
def _distance(
    values: Values, zeros: int, middle: float, mean: float, per_sd: float, edges: Floats
) -> float:
    """The largest distance between the two distributions."""
    n, bins = len(values) + zeros, len(edges) - 1
    bin_of = np.empty(len(values), np.uint16)
    for i in range(len(values)):
        bin_of[i] = _bin((values[i] - middle - mean) * per_sd, bins)
    counts = np.zeros(bins, np.int64)
    for at in bin_of:
        counts[at] += 1
    zero_bin = _bin((-middle - mean) * per_sd, bins)
    counts[zero_bin] += zeros
    largest, ahead = _at_edges(counts, n, edges)

    looked_at, size = np.empty(len(values) + 1, values.dtype), 0
    for i in range(len(values)):
        if ahead[bin_of[i]] >= 0:
            looked_at[size] = values[i]
            size += 1
    if zeros and ahead[zero_bin] >= 0:
        looked_at[size] = 0  # for all of them
        size += 1
    uncounted, last_bin, rank = zeros - 1, -1, 0
    for value in np.sort(looked_at[:size]):
        z = (value - middle - mean) * per_sd
        at = _bin(z, bins)
        if at != last_bin:
            last_bin, rank = at, ahead[at]
        cdf = 0.5 * math.erfc(-z / math.sqrt(2))
        largest = max(largest, cdf - rank / n)
        rank += 1
        if value == 0 and uncounted > 0:
            rank, uncounted = rank + uncounted, 0
        largest = max(largest, rank / n - cdf)
    return largest


@compiled
def _bin(z: float, bins: int) -> int:
    return np.int64(min(max(z * (bins / (2 * _REACH)) + bins / 2, 0.0), bins - 1.0))


@compiled
def _at_edges(
    counts: NDArray[np.integer], n: int, edges: Floats
) -> tuple[float, NDArray[np.integer]]:
    """The largest distance at an edge; and how many are ahead of a bin that may have a larger one.

    Of any other bin this is -1.
    """
    largest, upto = 0.0, 0
    for at in range(len(counts)):
        upto += counts[at]
        largest = max(largest, abs(upto / n - edges[at + 1]))
    ahead, upto = np.full(len(counts), -1), 0
    for at in range(len(counts)):
        before, upto = upto, upto + counts[at]
        if upto > before and max(upto / n - edges[at], edges[at + 1] - before / n) > largest:
            ahead[at] = before
    return largest, ahead
