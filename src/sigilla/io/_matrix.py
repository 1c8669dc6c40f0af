"""Any rows and columns of a two-dimensional HDF5 dataset, in any order, into one array.

HDF5 reads under one lock and inflates on one thread. Where the bytes on disk are plain, a few
threads take them from the file instead: of a contiguous matrix whole rows straight to the result
and parts of rows from a map, else chunk by chunk where chunks are raw, deflated or shuffled.
Everything else goes through HDF5 in tiles. Besides the result, each thread holds a few megabytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.io._chunks import chunks_of
from sigilla.io._contiguous import contiguous
from sigilla.io._mapped import TILE_BYTES, mapped
from sigilla.io._tasks import run_all
from sigilla.io._whole_rows import whole_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import h5py
    from numpy.typing import NDArray

    from sigilla.io._contiguous import Contiguous
    from sigilla.io._tasks import Task

    Array = NDArray[Any]
    Index = NDArray[np.intp]
    Pair = tuple["_Piece", "_Piece"]


def read_matrix(
    dataset: h5py.Dataset,
    rows: Index | None,
    cols: Index | None,
    dtype: np.dtype[Any],
    beside: Iterable[Task] = (),
) -> Array:
    """``dataset[rows][:, cols]`` as ``dtype``; ``None`` stands for the whole axis.

    ``beside`` are other tasks, done at the same time.
    """
    n_rows = dataset.shape[0] if rows is None else len(rows)
    n_cols = dataset.shape[1] if cols is None else len(cols)
    out = np.empty((n_rows, n_cols), dtype=dtype)
    if not out.size:
        run_all((), beside)
        return out
    with contiguous(dataset) as stored:
        run_all(_tasks(dataset, stored, rows, cols, out), beside)
    return out


def _tasks(
    dataset: h5py.Dataset,
    stored: Contiguous | None,
    rows: Index | None,
    cols: Index | None,
    out: Array,
) -> Iterable[Task]:
    if stored is not None:
        whole = whole_rows(stored, rows, out) if cols is None else None
        if whole is not None:
            return whole
        matrix = mapped(stored)
        if matrix is not None:
            return matrix.tasks(rows, cols, out)
    return _tile_tasks(dataset, rows, cols, out)


def _tile_tasks(
    dataset: h5py.Dataset, rows: Index | None, cols: Index | None, out: Array
) -> Iterator[Task]:
    chunks = chunks_of(dataset)
    tile = chunks.shape if chunks else _tile_shape(dataset)
    pairs = itertools.product(
        _pieces(rows, dataset.shape[0], tile[0]), _pieces(cols, dataset.shape[1], tile[1])
    )

    def put(block: Array, row: _Piece, col: _Piece) -> None:
        found, into, across = block[row.local], row.target, col.target
        if isinstance(into, np.ndarray) and isinstance(across, np.ndarray):
            into = into[:, None]  # each row with each column
        if isinstance(col.local, slice):
            out[into, across] = found[:, col.local]
        else:
            out[into, across] = np.take(found, col.local, axis=1)

    def read(some: list[Pair]) -> None:
        if chunks is None:
            for row, col in some:
                put(dataset[row.start : row.stop, col.start : col.stop], row, col)
            return
        with chunks.open() as file:
            for row, col in some:
                put(chunks.read(file, (row.start, col.start)), row, col)

    together = max(1, TILE_BYTES // chunks.n_bytes) if chunks else 1
    while some := list(itertools.islice(pairs, together)):
        yield partial(read, some)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The wanted positions that fall into one tile along one axis."""

    start: int
    stop: int
    local: slice | Index
    target: slice | Index


def _pieces(index: Index | None, size: int, tile: int) -> list[_Piece]:
    """Cut an axis into tiles."""
    if index is None:
        return [
            _Piece(a, b, slice(0, b - a), slice(a, b))
            for a in range(0, size, tile)
            for b in (min(a + tile, size),)
        ]
    order = np.argsort(index, kind="stable")
    found = index[order]
    bounds = [0, *(np.flatnonzero(np.diff(found // tile)) + 1).tolist(), len(found)]
    pieces = []
    for a, b in itertools.pairwise(bounds):
        start = int(found[a]) // tile * tile
        stop = min(start + tile, size)
        pieces.append(_Piece(start, stop, _as_slice(found[a:b] - start), _as_slice(order[a:b])))
    return pieces


def _as_slice(index: Index) -> slice | Index:
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if bool(np.all(np.diff(index) == 1)) else index


def _tile_shape(dataset: h5py.Dataset) -> tuple[int, int]:
    """A multiple of the chunk shape near TILE_BYTES, wide before high as rows are stored."""
    n_rows, n_cols = dataset.shape
    chunk = dataset.chunks or (1, n_cols)
    chunk_bytes = chunk[0] * chunk[1] * dataset.dtype.itemsize
    across = min(max(1, TILE_BYTES // chunk_bytes), -(-n_cols // chunk[1]))
    down = max(1, TILE_BYTES // (chunk_bytes * across))
    return min(chunk[0] * down, n_rows), min(chunk[1] * across, n_cols)
