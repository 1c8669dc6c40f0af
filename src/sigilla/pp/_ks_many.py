"""The Kolmogorov-Smirnov score of genes of many samples, without sorting all of them.

Both distributions rise, so what they are at the two edges of a bin bounds how far they are apart
inside it. The values of a gene are counted in equal bins, and only those of a bin whose bound is
above the distance found at an edge are sorted and looked at: of sparse genes one in a hundred or
less. The score is the one that all values sorted would give.

Neither counts nor the sums of the moments depend on the order of the samples: here, too, permuted
samples give bit-identical scores.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    Floats = NDArray[np.float64]

# Values per block: enough that threads seldom wait for each other between two operations.
BLOCK = 2**19
# Standard deviations on either side of the mean that the bins divide; the outer two have the rest.
_REACH = 4.0
# Least and most bins; between, one for every two to four values.
MIN_BINS, _MAX_BINS = 64, 4096


class Scratch(threading.local):
    """Memory that each thread uses for block after block.

    To be given new memory by the system takes longer than a pass over it.
    """

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of unknown content, in the memory of the last one of that name."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size, np.uint8)
        return self._held[name][:size].view(dtype).reshape(shape)


def score_many(rows: NDArray[np.number], n: int, scratch: Scratch) -> Floats:
    """Score each row of a genes x values array.

    Genes have ``n`` values; those that are not there are zeros, of which each row then has at least
    one. A row with NaN or infinite values, or with values so large that squares are, scores
    ``inf``; a constant row ``nan``.
    """
    ends = np.array([rows.min(axis=1), rows.max(axis=1)], np.float64)
    bad = ~np.isfinite(ends).all(axis=0)  # NaN is both least and most
    constant = ends[0] == ends[1]
    ends[:, bad | constant] = 0.0

    deviation = scratch("deviation", rows.shape, np.float64)
    np.copyto(deviation, rows)
    deviation[bad | constant] = 0.0  # else constants may differ from their mean by a digit
    mean = _sum(deviation, n, np.abs(ends).max(axis=0), scratch) / n
    deviation -= mean[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.square(deviation, out=scratch("square", rows.shape, np.float64))
        total = _sum(square, n, np.square(ends - mean).max(axis=0), scratch)
        sd = np.sqrt((total + (n - rows.shape[1]) * mean**2) / n)
    bad |= ~np.isfinite(sd)
    constant |= sd == 0
    no_score = bad | constant
    deviation[no_score], mean[no_score], sd[no_score] = 0.0, 0.0, 1.0

    scores = math.sqrt(n) * _distance(deviation, -mean[:, None], sd[:, None], n, scratch)
    scores[constant] = np.nan
    scores[bad] = np.inf
    return np.asarray(scores)


def _sum(rows: Floats, n: int, limit: Floats, scratch: Scratch) -> Floats:
    """Sum each row of at most ``n`` values, none beyond ``limit``: the same in whichever order.

    Multiples of one power of two have an exact sum as long as it is below 2^53 of them. So each
    value is rounded to such a multiple, and what that leaves to one of a second, smaller by 2^53/n;
    what is below that is left out. A number is rounded by adding a large one, whose last digit is
    that power, and taking it away.
    """
    large = np.ldexp(1.5, np.frexp(n * limit)[1])[:, None]
    part = np.add(rows, large, out=scratch("part", rows.shape, np.float64))
    part -= large
    total = part.sum(axis=1)
    left = np.subtract(rows, part, out=part)
    large = np.ldexp(large, np.frexp(n)[1] - 53)
    left += large
    left -= large
    return np.asarray(total + left.sum(axis=1))


def _distance(deviation: Floats, zero: Floats, sd: Floats, n: int, scratch: Scratch) -> Floats:
    """The largest distance of each row; ``zero`` is the deviation of the zeros left out."""
    (p, width), zeros = deviation.shape, n - deviation.shape[1]
    bins = min(max(MIN_BINS, 1 << (width // 4).bit_length()), _MAX_BINS)
    first = bins * np.arange(p)[:, None]  # bin of each gene, those of all being numbered in a line
    bin_of = _bins(deviation, sd, bins, scratch)
    bin_of += first
    counts = np.bincount(bin_of.ravel(), minlength=p * bins).reshape(p, bins)
    upto = counts.cumsum(axis=1)
    has_zeros = np.arange(bins) >= _bins(zero, sd, bins)

    # By how much the empirical distribution is above the normal one at the edges of the bins.
    edges = _edges(bins)
    above = np.zeros((p, bins + 1))
    np.subtract((upto + zeros * has_zeros) / n, edges[1:], out=above[:, 1:])
    largest = np.maximum(above.max(axis=1), -above.min(axis=1))
    bound = np.maximum(above[:, 1:], -above[:, :-1]) + np.diff(edges)
    is_open = (bound > largest[:, None]) & (counts > 0)

    looked_at = scratch("looked_at", deviation.shape, np.bool_)
    np.take(is_open, bin_of, mode="clip", out=looked_at)
    found = counts * is_open
    in_row = found.sum(axis=1)[:, None]
    value = np.full((p, max(1, in_row.max())), np.inf)
    place = np.arange(value.shape[1])
    value[place < in_row] = deviation[looked_at]
    value.sort(axis=1)
    # The rank of a value among all is its place here and what was left out ahead of its bin.
    left_out = (upto - counts) - (found.cumsum(axis=1) - found)
    rank = place + np.take(left_out, _bins(value, sd, bins) + first)
    cdf = ndtr(value / sd)
    above_it = (rank + 1 + zeros * (value >= zero)) / n - cdf
    below_it = cdf - (rank + zeros * (value > zero)) / n
    apart = np.where(place < in_row, np.maximum(above_it, below_it), 0.0)
    return np.asarray(np.maximum(largest, apart.max(axis=1)))


def _bins(
    deviation: Floats, sd: Floats, bins: int, scratch: Scratch | None = None
) -> NDArray[np.intp]:
    """Number of the bin of each value of a gene, in memory of ``scratch`` if that is given."""
    held = scratch and scratch("place", deviation.shape, np.float64)
    place = np.multiply(deviation, bins / (2 * _REACH) / sd, out=held)
    place += bins / 2
    np.clip(place, 0, bins - 1, out=place)
    if scratch is None:
        return place.astype(np.intp)
    whole = scratch("bin", deviation.shape, np.intp)
    np.copyto(whole, place, casting="unsafe")
    return whole


@lru_cache
def _edges(bins: int) -> Floats:
    """The normal distribution at the edges of the bins."""
    cdf = ndtr(np.linspace(-_REACH, _REACH, bins + 1))
    cdf[[0, -1]] = 0.0, 1.0
    return np.asarray(cdf)
