"""Leading singular vectors of a sparse matrix less its column means, which is never stored."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds
from sklearn.utils.extmath import svd_flip
from sklearn.utils.sparsefuncs import mean_variance_axis

from sigilla.pp._ks import workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Stored values per block of rows. Blocks do not depend on the threads, and so neither do sums.
_BLOCK = 2**22


def singular_vectors(
    X: sparse.csr_matrix, k: int, *, tol: float, random_state: int, n_jobs: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first ``k`` left singular vectors, with scikit-learn's signs, and singular values.

    By Lanczos' iteration (ARPACK), like scikit-learn's PCA, whose products are on one thread.
    """
    start = np.random.RandomState(random_state).uniform(-1, 1, min(X.shape))
    with ThreadPoolExecutor(workers(n_jobs)) as pool:
        left, values, right = svds(_Centred(X, pool), k, tol=tol, v0=start, solver="arpack")
    left, _ = svd_flip(left[:, ::-1], right[::-1], u_based_decision=False)
    return left, values[::-1]


class _Centred(LinearOperator):
    def __init__(self, X: sparse.csr_matrix, pool: Executor) -> None:
        super().__init__(X.dtype, X.shape)
        self._map = pool.map
        self._mean = mean_variance_axis(X, axis=0)[0]
        wanted = np.arange(0, X.nnz, _BLOCK)
        self._edges = np.unique([*np.searchsorted(X.indptr, wanted), X.shape[0]])
        self._blocks = [_rows(X, a, b) for a, b in pairwise(self._edges)]

    def _matvec(self, v: NDArray[Any]) -> NDArray[Any]:
        v = v.ravel()
        parts = self._map(lambda block: block @ v, self._blocks)
        return np.concatenate(list(parts)) - self._mean @ v

    def _rmatvec(self, u: NDArray[Any]) -> NDArray[Any]:
        u = u.ravel()
        parts = np.split(u, self._edges[1:-1])
        products = self._map(lambda block, part: block.T @ part, self._blocks, parts)
        return sum(products) - self._mean * u.sum()


def _rows(X: sparse.csr_matrix, start: int, stop: int) -> sparse.csr_array:
    """Without a copy of its values."""
    at = slice(X.indptr[start], X.indptr[stop])
    starts = X.indptr[start : stop + 1] - X.indptr[start]
    return sparse.csr_array((X.data[at], X.indices[at], starts), (stop - start, X.shape[1]))
