"""The Kolmogorov-Smirnov score of a standardised gene against the standard normal.

With F_n the empirical distribution of a gene, standardised by its mean and its ddof-0 standard
deviation, and Phi the standard normal distribution, the score is ``sqrt(n) sup |F_n - Phi|``.

The supremum sits at an observation, and tied observations need no special care: with the sorted
values x_(1) <= ... <= x_(n) it is the largest of ``i/n - Phi(x_(i))``, which the last of a tie
decides, and ``Phi(x_(i)) - (i-1)/n``, which the first does. So the zeros of a sparse gene are one
tied block, known by its two ends; only the non-zeros are sorted.

Moments are taken *after* sorting: the sums then do not depend on the order of the samples, and
permuted samples give bit-identical scores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import joblib
import numpy as np
from scipy import sparse
from scipy.sparse import _sparsetools
from scipy.special import ndtr

from sigilla.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Values per block: two megabytes of float64, so that a block stays in a core's cache.
_BLOCK = 2**18
# Fewer genes than this per block would use only a part of each cache line of a row-major matrix.
_MIN_GENES = 16
# From this many samples on, a Python step per gene costs less than what it saves.
_MANY = 2048
# Of the sorted values of such a gene, the distribution is first taken at each of these.
_STRIDE = 64
# With fewer stored values a gene, one thread scores them all: two wait for each other's turn at
# Python. Measured at 3,000 and 31,000, where one is faster; where sorting outweighs it is a guess.
_LONG = 100_000
# Stored values per piece of a sparse matrix, so that they can be counted in 32 bits.
_PIECE = 2**30


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
    score: Callable[[slice], Floats]
    if not sparse.issparse(X):
        X = np.asarray(X)
        score = partial(_score_dense, X)
    elif n < _MANY:
        X = X.tocsc()
        score = partial(_score_densified, X)
    else:
        score = partial(_score_pieces, _values_by_gene(X, threads), np.arange(1, n + 1) / n)
        threads = threads if X.nnz > _LONG * p else 1

    width = max(_MIN_GENES, _BLOCK // n)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(score, _slices(p, width)))
    scores = np.concatenate(parts) if parts else np.empty(0)
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

    A row with NaN or infinite values scores ``inf``, a constant row ``nan``.
    """
    rows.sort(axis=1)
    first, last = rows[:, 0], rows[:, -1]  # NaN sorts last, so the ends show every bad value
    bad = ~(np.isfinite(first) & np.isfinite(last))
    constant = first == last
    n = rows.shape[1]
    z = rows.astype(np.float64, copy=rows.dtype != np.float64)
    if bad.any():
        z[bad] = 0.0
    z -= z.mean(axis=1, keepdims=True)
    sd = np.sqrt(np.einsum("ij,ij->i", z, z) / n)
    sd[constant | bad] = 1.0
    z /= sd[:, None]
    ndtr(z, out=z)
    z -= np.arange(1, n + 1) / n
    scores = np.sqrt(n) * np.maximum(z.max(axis=1) + 1 / n, -z.min(axis=1))
    scores[constant] = np.nan
    scores[bad] = np.inf
    return scores


def _score_dense(X: NDArray[np.number], genes: slice) -> Floats:
    rows = np.array(X[:, genes].T, order="C")
    n = rows.shape[1]
    if n < _MANY:
        return score_rows(rows)
    ranks = np.arange(1, n + 1) / n
    return np.array([_score_nonzeros(row, ranks) for row in rows])


def _score_densified(X: sparse.csc_matrix, genes: slice) -> Floats:
    return score_rows(np.ascontiguousarray(X[:, genes].toarray().T))


class _Piece(NamedTuple):
    """The stored values of some samples, gene after gene; ``starts`` has one end more than genes.

    Which sample a value belongs to does not matter and is not kept.
    """

    values: NDArray[np.number]
    starts: NDArray[np.integer]


def _values_by_gene(X: sparse.csr_matrix | sparse.csc_matrix, threads: int) -> list[_Piece]:
    """The stored values of a matrix by gene, a block of samples from each task."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if X.format == "csc":
        return [_Piece(X.data, X.indptr)]
    X = X.tocsr()
    if X.dtype.itemsize not in {4, 8}:  # the widths of scipy's integers, see _gather
        X = X.astype(np.float64)
    tasks = max(4 * threads, X.nnz // _PIECE + 1)
    edges = np.searchsorted(X.indptr, np.linspace(0, X.nnz, tasks + 1))

    def piece(start: int, stop: int) -> _Piece:
        stored = slice(X.indptr[start], X.indptr[stop])
        return _gather(X.data[stored], X.indices[stored], X.shape[1])

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(piece, edges[:-1], edges[1:]))


def _gather(values: NDArray[np.number], genes: NDArray[np.integer], p: int) -> _Piece:
    """Bring the values of a gene together.

    What takes time is to write each value at the end of its gene, far from the one before. The
    public ``tocsc`` writes two arrays so, values and samples. The routine below also moves two
    integers for each entry; here both are the value, and both go to one place. It is private to
    scipy, though anndata calls its siblings too; the tests score the same genes dense.
    """
    whole = np.dtype(f"i{values.itemsize}")
    bits = values.view(whole)
    starts, by_gene = np.empty(p + 1, whole), np.empty_like(bits)
    _sparsetools.coo_tocsr(
        p, p, len(bits), genes.astype(whole, copy=False), bits, bits, starts, by_gene, by_gene
    )
    return _Piece(by_gene.view(values.dtype), starts)


def _score_pieces(pieces: list[_Piece], ranks: Floats, genes: slice) -> Floats:
    return np.array(
        [
            _score_nonzeros(
                np.concatenate([p.values[p.starts[j] : p.starts[j + 1]] for p in pieces]), ranks
            )
            for j in range(genes.start, genes.stop)
        ]
    )


def _score_nonzeros(values: NDArray[np.number], ranks: Floats) -> float:
    """Score one gene from its stored values, which are sorted in place; the rest are zero.

    ``ranks`` holds ``i/n`` for i from 1 to the number of samples, n.
    """
    n = len(ranks)
    zeros = n - len(values)
    values.sort()
    if not len(values):
        return np.nan
    if not (np.isfinite(values[0]) and np.isfinite(values[-1])):
        return np.inf
    if values[0] == values[-1] and (zeros == 0 or values[0] == 0):
        return np.nan

    deviations = values.astype(np.float64)
    mean = deviations.sum() / n
    deviations -= mean
    sd = np.sqrt((deviations @ deviations + zeros * mean**2) / n)
    below = int(np.searchsorted(values, 0.0))  # negative values, which rank before the zeros
    before = _largest_distance(deviations[:below], sd, ranks[:below], 1 / n)
    after = _largest_distance(deviations[below:], sd, ranks[below + zeros :], 1 / n)
    sup = max(before, after)
    if zeros:
        at_zero = ndtr(-mean / sd)
        sup = max(sup, at_zero - below / n, (below + zeros) / n - at_zero)
    return float(np.sqrt(n) * sup)


def _largest_distance(deviations: Floats, sd: float, ranks: Floats, step: float) -> float:
    """The supremum over a stretch of sorted values with consecutive ranks, ``step`` apart.

    Both distributions rise, so their values at the ends of an interval bound their distance inside
    it. The normal one, which costs the most, is taken at every 64th value first, and then only
    inside the intervals whose bound is above the largest distance found.
    """
    if not len(ranks):
        return 0.0
    ends = np.append(np.arange(0, len(ranks) - 1, _STRIDE), len(ranks) - 1)
    cdf = ndtr(deviations[ends] / sd)
    rank = ranks[ends]
    largest = max((rank - cdf).max(), (cdf - rank).max() + step)
    bound = np.maximum(rank[1:] - cdf[:-1], cdf[1:] - rank[:-1])
    open_ = ends[:-1][bound > largest]
    if len(open_):
        inside = np.minimum(open_[:, None] + np.arange(1, _STRIDE), len(ranks) - 1).ravel()
        cdf = ndtr(deviations[inside] / sd)
        rank = ranks[inside]
        largest = max(largest, (rank - cdf).max(), (cdf - rank).max() + step)
    return float(largest)


def _slices(p: int, width: int) -> Iterator[slice]:
    return (slice(start, min(start + width, p)) for start in range(0, p, width))
