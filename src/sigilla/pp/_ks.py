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
from typing import TYPE_CHECKING

import joblib
import numpy as np
from scipy import sparse
from scipy.special import ndtr

from sigilla.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Values per block: two megabytes of float64, so that a block stays in a core's cache.
_BLOCK = 2**18
# Fewer genes than this per block would use only a part of each cache line of a row-major matrix.
_MIN_GENES = 16
# Below this many samples, sorting a densified gene is cheaper than a Python step per gene.
_DENSIFY_BELOW = 2048


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
    if sparse.issparse(X):
        X = X.tocsc()
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        width = max(_MIN_GENES, _BLOCK // max(1, min(n, X.nnz // max(1, p))))
        score = _score_densified if n < _DENSIFY_BELOW else _score_sparse
    else:
        X = np.asarray(X)
        width = max(_MIN_GENES, _BLOCK // n)
        score = _score_dense

    with ThreadPoolExecutor(workers(n_jobs)) as pool:
        parts = list(pool.map(lambda s: score(X, s), _slices(p, width)))
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
    return score_rows(np.array(X[:, genes].T, order="C"))


def _score_densified(X: sparse.csc_matrix, genes: slice) -> Floats:
    return score_rows(np.ascontiguousarray(X[:, genes].toarray().T))


def _score_sparse(X: sparse.csc_matrix, genes: slice) -> Floats:
    n = X.shape[0]
    ranks = np.arange(1, n + 1) / n
    columns = range(*genes.indices(X.shape[1]))
    return np.array(
        [_score_nonzeros(X.data[X.indptr[j] : X.indptr[j + 1]], ranks) for j in columns]
    )


def _score_nonzeros(values: NDArray[np.number], ranks: Floats) -> float:
    """Score one gene from its stored values; the rest of its ``len(ranks)`` samples are zero."""
    n = len(ranks)
    zeros = n - len(values)
    ordered = np.sort(values)
    if not len(ordered):
        return np.nan
    if not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
        return np.inf
    if ordered[0] == ordered[-1] and (zeros == 0 or ordered[0] == 0):
        return np.nan

    below = int(np.searchsorted(ordered, 0.0))  # negative values, which rank before the zeros
    z = ordered.astype(np.float64)
    mean = z.sum() / n
    z -= mean
    sd = np.sqrt((z @ z + zeros * mean**2) / n)
    z /= sd
    ndtr(z, out=z)
    z[:below] -= ranks[:below]
    z[below:] -= ranks[below + zeros :]
    sup = max(z.max() + 1 / n, -z.min())
    if zeros:
        at_zero = ndtr(-mean / sd)
        sup = max(sup, at_zero - below / n, (below + zeros) / n - at_zero)
    return float(np.sqrt(n) * sup)


def _slices(p: int, width: int) -> Iterator[slice]:
    return (slice(start, min(start + width, p)) for start in range(0, p, width))
