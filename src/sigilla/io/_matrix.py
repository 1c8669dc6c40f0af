"""Any rows and columns of a two-dimensional HDF5 dataset, in any order, into one array.

HDF5 reads under one lock and inflates on one thread. Where the bytes on disk are plain, that is
contiguous, or in chunks that are raw, deflated or shuffled, they are fetched from the file by a
pool of threads instead; everything else goes through HDF5 in tiles. Besides the result no more
than a few tiles are in memory.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.io._chunks import chunk_loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import FileIO

    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Index = NDArray[np.intp]
    Loader = Callable[[int, int, int, int], Array]

TILE_BYTES = 2 * 2**20
MAX_WORKERS = 8


def workers() -> int:
    """How many threads a read may use: the processors that this process may run on, at most 8."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not offered outside Linux
        available = os.cpu_count() or 1
    return min(available, MAX_WORKERS)


def read_matrix(
    dataset: h5py.Dataset, rows: Index | None, cols: Index | None, dtype: np.dtype[Any]
) -> Array:
    """``dataset[rows][:, cols]`` as ``dtype``; ``None`` stands for the whole axis."""
    n_rows = dataset.shape[0] if rows is None else len(rows)
    n_cols = dataset.shape[1] if cols is None else len(cols)
    out = np.empty((n_rows, n_cols), dtype=dtype)
    if not out.size:
        return out
    offset = plain_offset(dataset)
    if offset is not None:
        _read_contiguous(dataset, offset, rows, cols, out)
    else:
        _read_tiles(dataset, rows, cols, out)
    return out


def plain_offset(dataset: h5py.Dataset) -> int | None:
    """Where a contiguous dataset starts in its file; None where HDF5 has to be asked."""
    plain = dataset.chunks is None and not dataset.is_virtual and not dataset.external
    if not plain or dataset.file.driver != "sec2" or dataset.dtype.kind not in "iuf":
        return None
    offset: int | None = dataset.id.get_offset()
    return offset


def run_all(tasks: Iterable[Callable[[], None]]) -> None:
    """Run the tasks on a pool of threads; the first failure is raised here."""
    with ThreadPoolExecutor(workers()) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def fill_from(file: FileIO, into: Array, offset: int) -> None:
    """Fill a contiguous array with the file's bytes from ``offset`` on."""
    rest: Array = into.reshape(-1).view(np.uint8)
    file.seek(offset)
    while rest.size:
        count = file.readinto(rest.data)
        if not count:
            raise OSError(f"the file ends {rest.size} bytes too early")
        rest = rest[count:]


# --------------------------------------------------------------------------- contiguous files


def _read_contiguous(
    dataset: h5py.Dataset, offset: int, rows: Index | None, cols: Index | None, out: Array
) -> None:
    width, stored = dataset.shape[1], dataset.dtype
    first, stop = (0, width) if cols is None else (int(cols.min()), int(cols.max()) + 1)
    if stop - first > width // 2:  # one long read is cheaper than many that skip little
        first, stop = 0, width
    straight = cols is None and stored == out.dtype
    local = None if cols is None else cols - first
    step = max(1, TILE_BYTES // ((stop - first) * stored.itemsize))
    path = Path(dataset.file.filename)

    def fill(begin: int, end: int) -> None:
        block = out[begin:end]
        buffer = block if straight else np.empty((end - begin, stop - first), stored)
        with path.open("rb", buffering=0) as file:
            for at, row, count in _runs(rows, begin, end, joined=stop - first == width):
                position = offset + (row * width + first) * stored.itemsize
                fill_from(file, buffer[at : at + count], position)
        if local is None:
            if not straight:
                block[...] = buffer
        elif stored == out.dtype:
            # "clip" because "raise" makes numpy copy the output; the ids were checked before.
            np.take(buffer, local, axis=1, out=block, mode="clip")
        else:
            block[...] = np.take(buffer, local, axis=1)

    def task(begin: int) -> Callable[[], None]:
        return lambda: fill(begin, min(begin + step, len(out)))

    run_all(task(begin) for begin in range(0, len(out), step))


def _runs(
    rows: Index | None, begin: int, end: int, *, joined: bool
) -> Iterable[tuple[int, int, int]]:
    """(place in the block, row in the file, number of rows) of each stretch to read at once."""
    if rows is None:
        if joined:
            return [(0, begin, end - begin)]
        return [(i - begin, i, 1) for i in range(begin, end)]
    wanted = rows[begin:end]
    breaks = np.flatnonzero(np.diff(wanted) != 1) + 1 if joined else np.arange(1, len(wanted))
    starts = [0, *breaks.tolist()]
    stops = [*starts[1:], len(wanted)]
    return [
        (a, row, b - a) for a, b, row in zip(starts, stops, wanted[starts].tolist(), strict=True)
    ]


# ------------------------------------------------------------------------------ chunked files


@dataclass(frozen=True, slots=True)
class _Piece:
    """The wanted positions that fall into one tile along one axis."""

    start: int
    stop: int
    local: slice | Index
    target: slice | Index


def _pieces(index: Index | None, size: int, tile: int) -> tuple[list[_Piece], Index | None]:
    """Cut an axis into tiles; the order that sorts ``index``, or None where it is sorted."""
    if index is None:
        return [
            _Piece(a, b, slice(0, b - a), slice(a, b))
            for a in range(0, size, tile)
            for b in (min(a + tile, size),)
        ], None
    ascending = bool(np.all(np.diff(index) > 0))
    order = None if ascending else np.argsort(index, kind="stable")
    found = index if order is None else index[order]
    bounds = [0, *(np.flatnonzero(np.diff(found // tile)) + 1).tolist(), len(found)]
    pieces = []
    for a, b in itertools.pairwise(bounds):
        start = int(found[a]) // tile * tile
        local = _as_slice(found[a:b] - start)
        pieces.append(_Piece(start, min(start + tile, size), local, slice(a, b)))
    return pieces, order


def _as_slice(index: Index) -> slice | Index:
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if last - first + 1 == len(index) else index


def _read_tiles(dataset: h5py.Dataset, rows: Index | None, cols: Index | None, out: Array) -> None:
    direct = chunk_loader(dataset)
    tile = dataset.chunks if direct else _tile_shape(dataset)
    row_pieces, row_order = _pieces(rows, dataset.shape[0], tile[0])
    col_pieces, col_order = _pieces(cols, dataset.shape[1], tile[1])

    def fill(load: Loader, row: _Piece, some: list[_Piece]) -> None:
        target = row.target if row_order is None else _as_slice_or_self(row_order[row.target])
        for col in some:
            block = load(row.start, row.stop, col.start, col.stop)
            out[target, col.target] = _take(_take(block, row.local, 0), col.local, 1)

    def task(load: Loader, row: _Piece, some: list[_Piece]) -> Callable[[], None]:
        return lambda: fill(load, row, some)

    if direct is None:
        for row in row_pieces:
            fill(lambda a, b, c, d: dataset[a:b, c:d], row, col_pieces)
    else:
        together = max(1, TILE_BYTES // (tile[0] * tile[1] * dataset.dtype.itemsize))
        run_all(
            task(direct, row, col_pieces[at : at + together])
            for row in row_pieces
            for at in range(0, len(col_pieces), together)
        )
    if col_order is not None:
        _reorder_columns(out, np.argsort(col_order))


def _as_slice_or_self(index: Index) -> slice | Index:
    return _as_slice(index) if bool(np.all(np.diff(index) == 1)) else index


def _take(block: Array, local: slice | Index, axis: int) -> Array:
    if isinstance(local, slice):
        return block[local] if axis == 0 else block[:, local]
    taken: Array = np.take(block, local, axis=axis)
    return taken


def _tile_shape(dataset: h5py.Dataset) -> tuple[int, int]:
    """A multiple of the chunk shape near TILE_BYTES, wide before high as rows are stored."""
    n_rows, n_cols = dataset.shape
    chunk = dataset.chunks or (1, n_cols)
    chunk_bytes = chunk[0] * chunk[1] * dataset.dtype.itemsize
    across = min(max(1, TILE_BYTES // chunk_bytes), -(-n_cols // chunk[1]))
    down = max(1, TILE_BYTES // (chunk_bytes * across))
    return min(chunk[0] * down, n_rows), min(chunk[1] * across, n_cols)


def _reorder_columns(out: Array, order: Index) -> None:
    """Put columns in the order asked for, block by block, so that no second result exists."""
    step = max(1, TILE_BYTES // max(1, out.shape[1] * out.itemsize))

    def task(begin: int) -> Callable[[], None]:
        block = out[begin : begin + step]

        def reorder() -> None:
            block[...] = np.take(block, order, axis=1)

        return reorder

    run_all(task(begin) for begin in range(0, len(out), step))
