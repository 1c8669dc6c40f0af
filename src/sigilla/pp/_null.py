"""The distribution of the Kolmogorov-Smirnov score of a normal gene.

The gene is standardised by its own mean and standard deviation, so this is Lilliefors'
distribution and not Kolmogorov's. It depends on nothing but the number of samples.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.special import ndtr

from sigilla.pp._ks import score_rows, workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TABLE = "null_table.csv"
_BLOCK = 2**18


class Null(Protocol):
    """What the empirical-null correction and the p-values need to know of a null."""

    def sf(self, score: Floats, /) -> Floats:
        """Probability that a normal gene scores above ``score``."""
        ...

    def moments(self, fraction: float, /) -> tuple[float, float]:
        """Mean and standard deviation of the smallest ``fraction`` of normal genes' scores."""
        ...


class TabulatedNull:
    """The null by interpolation in a table of quantiles; nothing is simulated.

    ``scripts/null_table.py`` writes the table: a row for each of a grid of sample sizes, up to
    infinity, a column for each of a grid of normal deviates z, and in it the score x that a normal
    gene exceeds with probability ``Phi(-z)``. On this scale the null is nearly a straight line.
    Rows are joined by a cubic spline in ``1/sqrt(n)``, columns by a monotone cubic; beyond the last
    column z goes on linearly in x, which is the tail of a Gaussian process's supremum.

    Against fresh simulations at sizes that are not in the table, p-values are off by less than
    0.0005 at 5, 13, 42, 72 and 181 samples, 0.0011 at 500 and 0.0024 at 5000, the last two within
    or near the noise of the check; by 0.008 at 3 samples, where the law has corners. The script
    prints these figures.

    Parameters
    ----------
    n
        Number of samples, 3 or more.
    """

    def __init__(self, n: int) -> None:
        sizes, z, quantiles = _table()
        x = CubicSpline(1 / np.sqrt(sizes[::-1]), quantiles[::-1])(1 / np.sqrt(n))
        # At n = 3 the score is bounded and its last quantiles agree to the digits of the table.
        distinct = np.concatenate([[True], np.diff(np.maximum.accumulate(x)) > 0])
        self._deviate = PchipInterpolator(x[distinct], z[distinct])
        self._ends = x[distinct][[0, -1]]

    def _z(self, score: Floats) -> Floats:
        inside = np.clip(score, *self._ends)
        slope = np.where(score > inside, *self._deviate(self._ends, 1)[::-1])
        return self._deviate(inside) + slope * (score - inside)

    def sf(self, score: Floats) -> Floats:
        """Probability that a normal gene scores above ``score``."""
        return ndtr(-self._z(score))

    def moments(self, fraction: float) -> tuple[float, float]:
        """Mean and standard deviation of the smallest ``fraction`` of normal genes' scores."""
        edges = np.linspace(0, 2 * self._ends[1], 20_001)
        mass = np.diff(np.minimum(ndtr(self._z(edges)), fraction)) / fraction
        middle = (edges[1:] + edges[:-1]) / 2
        # Not @, whose threads would be in the way of the next call's for milliseconds.
        mean = float(np.sum(mass * middle))
        return mean, float(np.sqrt(np.sum(mass * (middle - mean) ** 2)))


class SimulatedNull:
    """The null as published: the empirical distribution of ``draws`` simulated normal genes.

    Parameters
    ----------
    n
        Number of samples.
    draws
        Number of genes to simulate; the papers take 100 for each gene of the data.
    random_state
        Seed; each block of draws has its own stream, so threads do not change the result.
    """

    def __init__(
        self, n: int, draws: int, *, random_state: int | None = 0, n_jobs: int | None = None
    ) -> None:
        self._sorted = np.sort(simulate_scores(n, draws, random_state=random_state, n_jobs=n_jobs))

    def sf(self, score: Floats) -> Floats:
        """Fraction of simulated scores above ``score``."""
        above = len(self._sorted) - np.searchsorted(self._sorted, score, side="right")
        return above / len(self._sorted)

    def moments(self, fraction: float) -> tuple[float, float]:
        """Mean and standard deviation of the smallest ``fraction`` of the simulated scores."""
        smallest = self._sorted[: max(2, round(fraction * len(self._sorted)))]
        return float(smallest.mean()), float(smallest.std(ddof=1))


def simulate_scores(
    n: int, draws: int, *, random_state: int | None = 0, n_jobs: int | None = None
) -> Floats:
    """Scores of ``draws`` genes of ``n`` independent normal values."""
    width = max(1, _BLOCK // n)
    sizes = [min(width, draws - start) for start in range(0, draws, width)]
    seeds = np.random.SeedSequence(random_state).spawn(len(sizes))

    def block(seed: np.random.SeedSequence, genes: int) -> Floats:
        return score_rows(np.random.default_rng(seed).standard_normal((genes, n)))

    with ThreadPoolExecutor(workers(n_jobs)) as pool:
        return np.concatenate(list(pool.map(block, seeds, sizes)))


def null_distribution(
    null: str, *, n: int, p: int, random_state: int | None, n_jobs: int | None
) -> Null:
    """The null of a given name for ``p`` genes of ``n`` samples."""
    if null == "simulate":
        return SimulatedNull(n, 100 * p, random_state=random_state, n_jobs=n_jobs)
    return TabulatedNull(n)


@lru_cache(maxsize=1)
def _table() -> tuple[Floats, Floats, Floats]:
    """Sample sizes (rising, last infinite), deviates z, and quantiles, sizes x deviates."""
    text = (files("sigilla.pp") / TABLE).read_text("ascii")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    z = np.array(rows[0][1:], dtype=float)
    values = np.array(rows[1:], dtype=float)
    return values[:, 0], z, values[:, 1:]
