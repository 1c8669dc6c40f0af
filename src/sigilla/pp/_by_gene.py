"""The stored values of a sparse matrix, gene after gene.

Of a matrix by samples (CSR) a block of genes at a time is gathered into memory that each thread
uses again and again: all values side by side would take as much as the matrix holds of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.pp._compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from scipy import sparse

    Values = NDArray[np.floating]

# Values that a sample has, on average, in a block of genes: some ten cache lines, so that finding
# them takes less time than reading them. More would be written to too many places at once.
_RUN = 192
# Shares of the genes for each thread, lest one wait for the other.
_SHARES = 4


def by_gene(
    X: sparse.csr_matrix | sparse.csc_matrix, kind: type[np.floating], threads: int
) -> list[Iterator[Values]]:
    """The stored values of each gene in turn, converted to ``kind``, in shares for ``threads``.

    Which sample a value belongs to does not matter and is not kept. Values of a gene hold until
    those of the next are asked for.
    """
    if X.format == "csc":
        if not X.has_canonical_format:
            X = _with_duplicates_added(X)
        return [_columns(X, kind, genes) for genes in _shares(X.indptr, threads)]
    X = X.tocsr()
    counts, in_order = _count_in_shares(X, threads)
    if not in_order:
        X = _with_duplicates_added(X)
        counts, _ = _count_in_shares(X, threads)
    if X.dtype.kind == "f" or not X.dtype.isnative:  # numba lacks some of them
        X = X.astype(kind, copy=False)
    starts = np.concatenate([[0], counts.cumsum()])
    return [_gathered(X, kind, starts, genes, threads) for genes in _shares(starts, threads)]


def _with_duplicates_added(X: Any) -> Any:
    X = X.copy()
    X.has_canonical_format = X.has_sorted_indices = False  # may have been said of other values
    X.sum_duplicates()
    return X


def _shares(starts: NDArray[np.integer], threads: int) -> list[slice]:
    """The genes in slices of about as many values."""
    edges = np.searchsorted(starts, np.linspace(0, starts[-1], _SHARES * threads + 1))
    edges[0], edges[-1] = 0, len(starts) - 1
    return [slice(first, stop) for first, stop in pairwise(np.unique(edges).tolist())]


def _columns(X: sparse.csc_matrix, kind: type[np.floating], genes: slice) -> Iterator[Values]:
    for start, stop in pairwise(X.indptr[genes.start : genes.stop + 1].tolist()):
        yield X.data[start:stop].astype(kind, copy=False)


def _gathered(
    X: sparse.csr_matrix,
    kind: type[np.floating],
    starts: NDArray[np.integer],
    genes: slice,
    threads: int,
) -> Iterator[Values]:
    # All threads together hold at most half of the values.
    most = min(_RUN * X.shape[0], X.nnz // (2 * threads))
    of_gene = _unsigned(X.indices)
    at = _seek(of_gene, X.indptr, genes.start)
    room = np.empty(0, kind)
    first = genes.start
    while first < genes.stop:
        stop = int(np.searchsorted(starts, starts[first] + most, side="right")) - 1
        stop = min(max(stop, first + 1), genes.stop)
        ends = starts[first : stop + 1] - starts[first]
        if len(room) < ends[-1]:
            room = np.empty(max(most, ends[-1]), kind)
        _gather(X.data, of_gene, X.indptr, at, first, ends[:-1].astype(np.uint64), room)
        for start, end in pairwise(ends.tolist()):
            yield room[start:end]
        first = stop


def _unsigned(indices: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """Without a sign: numba asks of an index that has one whether it counts from the end."""
    return indices.view(f"u{indices.itemsize}")


def _count_in_shares(X: sparse.csr_matrix, threads: int) -> tuple[NDArray[np.integer], bool]:
    """How many values each gene has, and whether those of a sample are in the order of genes."""
    of_gene, p = _unsigned(X.indices), X.shape[1]

    def count(samples: slice) -> tuple[NDArray[np.integer], bool]:
        return _count(of_gene, X.indptr[samples.start : samples.stop + 1], p)

    with ThreadPoolExecutor(threads) as pool:
        counts, in_order = zip(*pool.map(count, _shares(X.indptr, threads)), strict=True)
    return np.sum(counts, axis=0), all(in_order)


@compiled
def _count(
    of_gene: NDArray[np.unsignedinteger], starts: NDArray[np.integer], p: int
) -> tuple[NDArray[np.integer], bool]:
    counts, in_order = np.zeros(p, np.int64), True
    for sample in range(len(starts) - 1):
        genes = of_gene[starts[sample] : starts[sample + 1]]
        for gene in genes:
            counts[gene] += 1
        for i in range(1, len(genes)):
            in_order &= genes[i] > genes[i - 1]
    return counts, in_order


@compiled
def _seek(
    of_gene: NDArray[np.unsignedinteger], starts: NDArray[np.integer], gene: int
) -> NDArray[np.unsignedinteger]:
    """Where the values of each sample from a gene on begin."""
    at = np.empty(len(starts) - 1, np.uint64)
    for sample in range(len(at)):
        start, stop = starts[sample], starts[sample + 1]
        at[sample] = start + np.searchsorted(of_gene[start:stop], gene)
    return at


@compiled
def _gather(
    values: NDArray[np.number],
    of_gene: NDArray[np.unsignedinteger],
    starts: NDArray[np.integer],
    at: NDArray[np.unsignedinteger],
    first: int,
    places: NDArray[np.unsignedinteger],
    room: Values,
) -> None:
    """Write the values of as many genes as have ``places``, and move these and ``at`` on."""
    genes = np.uint64(len(places))
    for sample in range(len(at)):
        i, end = at[sample], np.uint64(starts[sample + 1])
        while i < end:
            gene = np.uint64(of_gene[i]) - np.uint64(first)
            if gene >= genes:
                break
            place = places[gene]
            room[place] = values[i]
            places[gene] = place + np.uint64(1)
            i += np.uint64(1)
        at[sample] = i
