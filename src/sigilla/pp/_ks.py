"""The Kolmogorov-Smirnov score of a standardised gene against the standard normal.

With F_n the empirical distribution of a gene, standardised by its mean and its ddof-0 standard
deviation, and Phi the standard normal distribution, the score is ``sqrt(n) sup |F_n - Phi|``.

The supremum sits at an observation, and tied observations need no special care: with the sorted
values x_(1) <= ... <= x_(n) it is the largest of ``i/n - Phi(x_(i))``, which the last of a tie
decides, and ``Phi(x_(i)) - (i-1)/n``, which the first does.

Moments are taken *after* sorting: the sums then do not depend on the order of the samples, and
permuted samples give bit-identical scores. Genes of many samples are not sorted, see ``_ks_many``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from scipy import sparse
from scipy.special import ndtr

from sigilla.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Values per block: two megabytes of float64, so that a block stays in a core's cache.
_BLOCK = 2**18
# Fewer genes than this per block would use only a part of each cache line of a row-major matrix.
_MIN_GENES = 16
# From this many samples on, counting in bins takes less time than sorting.
_MANY = 4096
# By how much Page's approximation of the normal distribution may be off; it is by 0.00014 at most.
_PAGE_ERROR = 2e-4


def workers(n_jobs: int | None) -> int:
    """Number of threads: ``None`` or -1 is every core this process may use."""
    if n_jobs is None or n_jobs == -1:
        return int(joblib.cpu_count())
    if n_jobs < 1:
        msg = f"n_jobs={n_jobs} must be a positive number of threads, or -1 or None for all cores"
        raise ValueError(msg)
    return n_jobs


def ks_scores(
    X: NDArray[np.number] | sparse.csr_matrix | sparse.csc_matrix, *, n_jobs: int | None = None
) -> Floats:
    """Score every gene of a matrix held in memory.

    Parameters
    ----------
    X
        Samples x genes, dense or scipy sparse; at least two samples. Not modified.
    n_jobs
        Threads; ``None`` is every available core. The result does not depend on it.

    Returns
    -------
    Scores, one per gene; ``nan`` for a constant gene.

    Raises
    ------
    DataError
        If a value is NaN or infinite; the columns are named by position.
    """
    n, p = X.shape
    threads = workers(n_jobs)
    width = max(_MIN_GENES, _BLOCK // n)
    parts: list[Any] = [slice(start, min(start + width, p)) for start in range(0, p, width)]
    score: Callable[[Any], Floats]
    if not sparse.issparse(X):
        score = partial(_score_dense, np.asarray(X))
    elif n < _MANY:
        score = partial(_score_densified, X.tocsc())
    else:
        from sigilla.pp._by_gene import by_gene

        score, parts = partial(_score_each, n), by_gene(X, _floats(X), threads)
    with ThreadPoolExecutor(threads) as pool:
        scores = np.concatenate([np.empty(0), *pool.map(score, parts)])
    bad = np.flatnonzero(np.isinf(scores))
    if bad.size:
        msg = (
            f"{bad.size} of {p} genes hold NaN or infinite values (columns {listed(bad.tolist())});"
            " drop these genes or fill the values in first"
        )
        raise DataError(msg)
    return scores


def score_rows(rows: NDArray[np.number]) -> Floats:
    """Score each row of a genes x samples array, which is sorted in place.

    A row with NaN or infinite values, or with values so large that their squares are infinite,
    scores ``inf``; a constant row ``nan``.
    """
    rows.sort(axis=1)
    first, last = rows[:, 0], rows[:, -1]  # NaN sorts last, so the ends show every bad value
    bad = ~(np.isfinite(first) & np.isfinite(last))
    constant = first == last
    n = rows.shape[1]
    z = rows.astype(np.float64, copy=rows.dtype != np.float64)
    z[bad | constant] = 0.0  # else constants may differ from their mean by a digit
    with np.errstate(over="ignore", invalid="ignore"):
        z -= z.mean(axis=1, keepdims=True)
        sd = np.sqrt(np.einsum("ij,ij->i", z, z) / n)
    bad |= ~np.isfinite(sd)  # so large that squares are not finite
    constant |= sd == 0  # or differ by less than can be squared
    z[bad] = 0.0
    sd[constant | bad] = 1.0
    z /= sd[:, None]
    scores = np.sqrt(n) * _distance(z)
    scores[constant] = np.nan
    scores[bad] = np.inf
    return scores


def _distance(z: Floats) -> Floats:
    """How far the empirical distribution of each row, in its order, is from the normal one at most.

    The normal distribution takes longer than all else. So it is asked for only where that may be
    according to an approximation of it: at one or two values of a gene.
    """
    n = z.shape[1]
    rank = np.arange(1, n + 1)
    apart = _page(z.astype(np.float32))
    apart -= ((rank - 0.5) / n).astype(np.float32)
    np.abs(apart, out=apart)
    near = apart >= apart.max(axis=1, keepdims=True) - np.float32(2 * _PAGE_ERROR)
    at = np.flatnonzero(near)
    gene, place = np.divmod(at, n)
    above = ndtr(z.ravel()[at]) - rank[place] / n
    starts = np.searchsorted(gene, np.arange(len(z)))
    most, least = np.maximum.reduceat(above, starts), np.minimum.reduceat(above, starts)
    return np.asarray(np.maximum(most + 1 / n, -least))


def _page(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The normal distribution, roughly: Page (1977), Applied Statistics 26(1): 75-76."""
    about = np.square(x)
    about *= np.float32(0.7988 * 0.04417)
    about += np.float32(0.7988)
    about *= x
    np.tanh(about, out=about)
    about *= np.float32(0.5)
    about += np.float32(0.5)
    return about


def _score_dense(X: NDArray[np.number], genes: slice) -> Floats:
    rows = np.array(X[:, genes].T, order="C")
    n = rows.shape[1]
    if n < _MANY:
        return score_rows(rows)
    from sigilla.pp._ks_many import score_many

    return np.array([score_many(row, n) for row in rows.astype(_floats(rows), copy=False)])


def _score_densified(X: sparse.csc_matrix, genes: slice) -> Floats:
    return score_rows(np.ascontiguousarray(X[:, genes].toarray().T))


def _score_each(n: int, genes: Iterable[NDArray[np.floating]]) -> Floats:
    from sigilla.pp._ks_many import score_many

    return np.array([score_many(values, n) for values in genes])


def _floats(X: NDArray[np.number] | sparse.spmatrix) -> type[np.floating]:
    """Single precision for values that it holds to the last digit, double for others."""
    return np.float32 if np.can_cast(X.dtype, np.float32) else np.float64
