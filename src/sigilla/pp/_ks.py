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
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Genes = slice | NDArray[np.intp]

# Values per block: two megabytes of float64, so that a block stays in a core's cache.
_BLOCK = 2**18
# Fewer genes than this per block would use only a part of each cache line of a row-major matrix.
_MIN_GENES = 16
# From this many samples on, the normal distribution is not taken at every value.
_MANY = 2048
# Of the sorted values of such a gene, it is first taken at each of these.
_STRIDE = 64
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
    score: Callable[[Genes], Floats]
    blocks = _slices(p, max(_MIN_GENES, _BLOCK // n))
    if not sparse.issparse(X):
        score = partial(_score_dense, np.asarray(X))
    elif n < _MANY:
        score = partial(_score_densified, X.tocsc())
    else:
        pieces = _values_by_gene(X, threads)
        counts = np.sum([np.diff(piece.starts) for piece in pieces], axis=0)
        blocks, score = _of_like_counts(counts), partial(_score_pieces, pieces, counts, n)

    scores = np.empty(p)
    with ThreadPoolExecutor(threads) as pool:
        for genes, found in zip(blocks, pool.map(score, blocks), strict=True):
            scores[genes] = found
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


def _score_dense(X: NDArray[np.number], genes: Genes) -> Floats:
    rows = np.array(X[:, genes].T, order="C")
    n = rows.shape[1]
    if n < _MANY:
        return score_rows(rows)
    # More genes were copied than fit a cache, for the sake of the cache lines they came from.
    parts = [rows[some] for some in _slices(len(rows), max(1, _BLOCK // n))]
    return np.concatenate([_score_long(part, np.full(len(part), n), n) for part in parts])


def _score_densified(X: sparse.csc_matrix, genes: Genes) -> Floats:
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


def _score_pieces(
    pieces: list[_Piece], counts: NDArray[np.integer], n: int, genes: NDArray[np.intp]
) -> Floats:
    kind = np.promote_types(pieces[0].values.dtype, np.float32)
    rows = np.full((len(genes), max(1, counts[genes].max())), np.inf, kind)
    for row, j in zip(rows, genes.tolist(), strict=True):
        parts = [piece.values[piece.starts[j] : piece.starts[j + 1]] for piece in pieces]
        np.concatenate(parts, out=row[: counts[j]])
    return _score_long(rows, counts[genes], n)


def _score_long(rows: NDArray[np.number], counts: NDArray[np.integer], n: int) -> Floats:
    """Score genes of many samples from their stored values; what lacks of ``n`` is zero.

    Each row, sorted in place, has ``counts`` values and then nothing but ``inf``.

    Both distributions rise, so their values at the ends of an interval bound their distance inside
    it. The normal one, which costs the most, is taken at every 64th value first, and then only
    inside the intervals whose bound is above the largest distance found.
    """
    rows.sort(axis=1)
    each, end, zeros = np.arange(len(rows)), np.maximum(counts - 1, 0), n - counts
    first, last = rows[:, 0], rows[each, end]
    bad = (counts > 0) & ~(np.isfinite(first) & np.isfinite(last))  # NaN sorts behind inf
    constant = (counts == 0) | ((first == last) & ((zeros == 0) | (first == 0)))
    fine = ~(bad | constant)

    deviations = rows.astype(np.float64)
    stored = np.where(fine, counts, 0).tolist()
    _clear_behind(stored, deviations)
    mean = deviations.sum(axis=1) / n
    deviations -= mean[:, None]
    _clear_behind(stored, deviations)
    sd = np.sqrt((np.square(deviations).sum(axis=1) + zeros * mean**2) / n)
    sd[~fine] = 1.0

    def distances(row: NDArray[np.intp], at: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        cdf = ndtr(deviations[row, at] / sd[row])
        rank = (at + 1 + zeros[row] * (rows[row, at] >= 0)) / n
        return cdf, rank, np.maximum((rank - cdf).max(axis=1), (cdf - rank).max(axis=1) + 1 / n)

    ends = np.append(np.arange(0, rows.shape[1] - 1, _STRIDE), rows.shape[1] - 1)
    at = np.minimum(ends, end[:, None])
    cdf, rank, largest = distances(each[:, None], at)
    bound = np.maximum(rank[:, 1:] - cdf[:, :-1], cdf[:, 1:] - rank[:, :-1])
    row, interval = np.nonzero(bound > largest[:, None])
    inside = at[row, interval][:, None] + np.arange(1, min(_STRIDE, max(2, rows.shape[1])))
    np.maximum.at(largest, row, distances(row[:, None], np.minimum(inside, end[row, None]))[2])

    below, negative = np.zeros(len(rows)), first < 0
    below[negative] = np.count_nonzero(rows[negative] < 0, axis=1)  # they rank before the zeros
    at_zero = ndtr(-mean / sd)
    block = np.maximum(at_zero - below / n, (below + zeros) / n - at_zero)
    scores = np.sqrt(n) * np.where(zeros > 0, np.maximum(largest, block), largest)
    scores[constant] = np.nan
    scores[bad] = np.inf
    return np.asarray(scores)


def _slices(p: int, width: int) -> Sequence[Genes]:
    return [slice(start, min(start + width, p)) for start in range(0, p, width)]


def _of_like_counts(counts: NDArray[np.integer]) -> Sequence[Genes]:
    """Genes in blocks of about as many values, those with like counts together."""
    order = np.argsort(counts)[::-1]
    blocks, start = [], 0
    while start < len(order):
        width = _BLOCK // max(1, int(counts[order[start]]))
        blocks.append(order[start : start + max(1, width)])
        start += len(blocks[-1])
    return blocks


def _clear_behind(counts: list[int], rows: Floats) -> None:
    for row, count in zip(rows, counts, strict=True):
        row[count:] = 0.0
