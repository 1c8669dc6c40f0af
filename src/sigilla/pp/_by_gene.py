"""The stored values of a sparse matrix, brought together by gene."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import _sparsetools

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

# Stored values per piece of a sparse matrix, so that they can be counted in 32 bits.
_PIECE = 2**30


class Piece(NamedTuple):
    """The stored values of some samples, gene after gene; ``starts`` has one end more than genes.

    Which sample a value belongs to does not matter and is not kept.
    """

    values: NDArray[np.number]
    starts: NDArray[np.integer]


def values_by_gene(X: sparse.csr_matrix | sparse.csc_matrix, threads: int) -> list[Piece]:
    """The stored values of a matrix by gene, a block of samples from each task."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if X.format == "csc":
        return [Piece(X.data, X.indptr)]
    X = X.tocsr()
    if X.dtype.itemsize not in {4, 8}:  # the widths of scipy's integers, see _gather
        X = X.astype(np.float64)
    tasks = max(4 * threads, X.nnz // _PIECE + 1)
    edges = np.searchsorted(X.indptr, np.linspace(0, X.nnz, tasks + 1))

    def piece(start: int, stop: int) -> Piece:
        stored = slice(X.indptr[start], X.indptr[stop])
        return _gather(X.data[stored], X.indices[stored], X.shape[1])

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(piece, edges[:-1], edges[1:]))


def _gather(values: NDArray[np.number], genes: NDArray[np.integer], p: int) -> Piece:
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
    return Piece(by_gene.view(values.dtype), starts)
