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
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.io._chunks import chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import FileIO

    import h5py
    from numpy.typing import NDArray

    from sigilla.io._chunks import Chunks

    Array = NDArray[Any]
    Index = NDArray[np.intp]
    Pair = tuple["_Piece", "_Piece"]

TILE_BYTES = 2**19  # a buffer that stays in a core's own cache
TILES_TOGETHER = 16  # read by one task, through one buffer
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
    """Run the tasks on a few threads, as they come; the first failure is raised here."""
    pending, lock = iter(tasks), Lock()

    def following() -> Callable[[], None] | None:
        with lock:
            return next(pending, None)

    def work() -> None:
        nonlocal pending
        try:
            while task := following():
                task()
        except BaseException:
            pending = iter(())  # the others are to stop too
            raise

    count = workers()
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work) for _ in range(count)]:
            done.result()


def fill_from(file: FileIO, into: memoryview, offset: int) -> None:
    """Fill a buffer of bytes with the file's from ``offset`` on."""
    file.seek(offset)
    count = file.readinto(into)
    while count and count < len(into):  # a read may end early, at a signal or after 2 GiB
        into = into[count:]
        count = file.readinto(into)
    if not count:
        raise OSError(f"the file ends {len(into)} bytes too early")


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
    line = (stop - first) * stored.itemsize  # bytes of one row that are read
    joined = stop - first == width
    height = max(1, TILE_BYTES // line)
    stretch = TILES_TOGETHER * height
    path = Path(dataset.file.filename)

    def fill(file: FileIO, buffer: Array, begin: int, end: int) -> None:
        flat = buffer.reshape(-1).view(np.uint8).data
        for at, row, count in _runs(rows, begin, end, joined=joined):
            part = flat[at * line : (at + count) * line]
            fill_from(file, part, offset + (row * width + first) * stored.itemsize)

    def task(begin: int) -> Callable[[], None]:
        def read() -> None:
            block = out[begin : begin + stretch]
            with path.open("rb", buffering=0) as file:
                if straight:
                    fill(file, block, begin, begin + len(block))
                    return
                buffer = np.empty((min(height, len(block)), stop - first), stored)
                for at in range(0, len(block), height):
                    part = block[at : at + height]
                    fill(file, buffer[: len(part)], begin + at, begin + at + len(part))
                    _convert(buffer[: len(part)], local, part)

        return read

    run_all(task(begin) for begin in range(0, len(out), stretch))


def _convert(block: Array, cols: Index | None, out: Array) -> None:
    """Put the columns of a block into ``out``, in its type."""
    if cols is None:
        out[...] = block
    elif block.dtype == out.dtype:
        # "clip" because "raise" makes numpy copy the output; the ids were checked before.
        np.take(block, cols, axis=1, out=out, mode="clip")
    else:
        out[...] = np.take(block, cols, axis=1)


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
    chunks = chunks_of(dataset)
    tile = chunks.shape if chunks else _tile_shape(dataset)
    row_pieces, row_order = _pieces(rows, dataset.shape[0], tile[0])
    col_pieces, col_order = _pieces(cols, dataset.shape[1], tile[1])

    def put(block: Array, row: _Piece, col: _Piece) -> None:
        target = row.target if row_order is None else _as_slice_or_self(row_order[row.target])
        out[target, col.target] = _take(_take(block, row.local, 0), col.local, 1)

    def task(chunks: Chunks, some: list[Pair]) -> Callable[[], None]:
        def read() -> None:
            with chunks.open() as file:
                for row, col in some:
                    put(chunks.read(file, (row.start, col.start)), row, col)

        return read

    pairs = itertools.product(row_pieces, col_pieces)
    if chunks is None:
        for row, col in pairs:
            put(dataset[row.start : row.stop, col.start : col.stop], row, col)
    else:
        together = max(1, TILE_BYTES // chunks.n_bytes)
        run_all(task(chunks, some) for some in _batches(pairs, together))
    if col_order is not None:
        _reorder_columns(out, np.argsort(col_order))


def _batches(pairs: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    while batch := list(itertools.islice(pairs, size)):
        yield batch


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
