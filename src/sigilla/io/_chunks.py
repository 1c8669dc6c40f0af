"""The chunks of an HDF5 dataset fetched and inflated without HDF5's lock, on many threads."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from h5py import h5z

if TYPE_CHECKING:
    from collections.abc import Callable

    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Fetch = Callable[[tuple[int, ...]], Array | None]
    Loader = Callable[[int, int, int, int], Array]

MIN_CHUNK_BYTES = 16 * 2**10  # below it, finding a chunk costs more than HDF5's own inflating


def chunk_loader(dataset: h5py.Dataset) -> Loader | None:
    """Reads one chunk of a matrix, from any thread; None where only HDF5 can decode them."""
    fetch = _fetcher(dataset, "iuf")
    if fetch is None:
        return None

    def load(row: int, row_stop: int, col: int, col_stop: int) -> Array:
        block = fetch((row, col))
        if block is None:
            return np.full((row_stop - row, col_stop - col), dataset.fillvalue, dataset.dtype)
        return block[: row_stop - row, : col_stop - col]

    return load


def read_column(dataset: h5py.Dataset) -> Array:
    """All of a one-dimensional dataset; several threads may each read one at the same time."""
    fetch = _fetcher(dataset, "iufS")
    if fetch is None:
        values: Array = dataset[...]
        return values
    out = np.empty(dataset.shape, dataset.dtype)
    for start in range(0, len(out), dataset.chunks[0]):
        block = fetch((start,))
        part = out[start : start + dataset.chunks[0]]
        part[...] = dataset.fillvalue if block is None else block[: len(part)]
    return out


def _filters(dataset: h5py.Dataset, kinds: str) -> list[int] | None:
    """The filters that packed the chunks; None where the chunks are to be left to HDF5."""
    if dataset.chunks is None or dataset.is_virtual or dataset.dtype.kind not in kinds:
        return None
    if dataset.file.driver != "sec2" or dataset.file.userblock_size:
        return None
    if np.prod(dataset.chunks) * dataset.dtype.itemsize < MIN_CHUNK_BYTES:
        return None
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    return filters if set(filters) <= {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE} else None


def _fetcher(dataset: h5py.Dataset, kinds: str) -> Fetch | None:
    filters = _filters(dataset, kinds)
    if filters is None:
        return None
    path, shape, stored = Path(dataset.file.filename), dataset.chunks, dataset.dtype
    n_bytes = int(np.prod(shape)) * stored.itemsize

    def fetch(start: tuple[int, ...]) -> Array | None:
        info = dataset.id.get_chunk_info_by_coord(start)
        if info.byte_offset is None:  # never written: HDF5 stands in its fill value
            return None
        with path.open("rb", buffering=0) as file:
            file.seek(info.byte_offset)
            raw: Any = file.read(info.size)
        if len(raw) < info.size:
            raise OSError(f"the file ends inside the chunk at {start}")
        for at, code in reversed(list(enumerate(filters))):
            if info.filter_mask >> at & 1:  # this chunk was stored without that filter
                continue
            if code == h5z.FILTER_DEFLATE:
                raw = zlib.decompress(raw, bufsize=n_bytes)
            else:
                raw = _unshuffle(raw, stored.itemsize)
        return np.frombuffer(raw, dtype=stored).reshape(shape)

    return fetch


def _unshuffle(raw: bytes, itemsize: int) -> Array:
    """Undo HDF5's shuffle, which stores all first bytes, then all second bytes, and so on."""
    planes = np.frombuffer(raw, np.uint8).reshape(itemsize, -1)
    items = np.empty((planes.shape[1], itemsize), np.uint8)
    for byte in range(itemsize):
        items[:, byte] = planes[byte]
    return items.reshape(-1)
