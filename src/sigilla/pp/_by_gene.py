"""The stored values of a sparse matrix, brought together by gene."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sigilla.pp._compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

# Values that are brought together at a time: with their genes, about what a core's cache holds.
_PIECE = 2**18


class ByGene(NamedTuple):
    """Stored values, gene after gene; ``starts`` has one end more than genes.

    Which sample a value belongs to does not matter and is not kept.
    """

    values: NDArray[np.floating]
    starts: NDArray[np.integer]


def values_by_gene(
    X: sparse.csr_matrix | sparse.csc_matrix, kind: type[np.floating], threads: int
) -> ByGene:
    """The stored values of a matrix by gene, converted to ``kind``."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if X.format == "csc":
        return ByGene(X.data.astype(kind, copy=False), X.indptr)
    X, p = X.tocsr(), X.shape[1]
    if X.dtype.kind == "f" or not X.dtype.isnative:  # numba lacks some of them
        X = X.astype(kind, copy=False)
    # Without a sign: numba asks of an index that has one whether it counts from the end.
    genes = X.indices.view(f"u{X.indices.itemsize}")
    edges = np.linspace(0, X.nnz, 4 * threads + 1).astype(int).tolist()
    shares = [slice(start, stop) for start, stop in pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:
        counts = np.array(list(pool.map(lambda share: _count(genes[share], p), shares)))
        starts = np.concatenate([[0], counts.sum(axis=0).cumsum()])
        firsts = starts[:-1] + counts.cumsum(axis=0) - counts  # where each share of a gene begins
        values = np.empty(X.nnz, kind)

        def move(share: slice, first: NDArray[np.integer]) -> None:
            _move(X.data[share], genes[share], first, values, _PIECE)

        list(pool.map(move, shares, firsts))
    return ByGene(values, starts)


@compiled
def _count(genes: NDArray[np.integer], p: int) -> NDArray[np.integer]:
    counts = np.zeros(p, np.int64)
    for gene in genes:
        counts[gene] += 1
    return counts


@compiled
def _move(
    values: NDArray[np.number],
    genes: NDArray[np.integer],
    first: NDArray[np.integer],
    by_gene: NDArray[np.floating],
    size: int,
) -> None:
    """Write each value to the next free place of its gene, which ``first`` holds and moves on.

    Places of different genes are too far apart for the cache. So the values of a piece that fits
    it are first grouped by gene, and those of one gene are then written together.
    """
    piece = np.empty(min(size, len(values)), by_gene.dtype)
    at = np.empty(len(first), np.int64)
    for start in range(0, len(values), size):
        stop = min(start + size, len(values))
        at[:] = 0
        for i in range(start, stop):
            at[genes[i]] += 1
        end = 0
        for gene in range(len(first)):
            end, at[gene] = end + at[gene], end
        for i in range(start, stop):
            gene = genes[i]
            piece[at[gene]] = values[i]
            at[gene] += 1
        begin = 0
        for gene in range(len(first)):
            of_gene = piece[begin : at[gene]]
            target = by_gene[first[gene] :]
            for i in range(len(of_gene)):
                target[i] = of_gene[i]
            first[gene] += len(of_gene)
            begin = at[gene]
