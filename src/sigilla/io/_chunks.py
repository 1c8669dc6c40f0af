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
    Loader = Callable[[int, int, int, int], Array]

MIN_CHUNK_BYTES = 16 * 2**10  # below it, finding a chunk costs more than HDF5's own inflating


def chunk_loader(dataset: h5py.Dataset) -> Loader | None:
    """Reads one chunk, from any thread; None where only HDF5 can decode the chunks."""
    if dataset.chunks is None or dataset.is_virtual or dataset.dtype.kind not in "iuf":
        return None
    if dataset.file.driver != "sec2" or dataset.file.userblock_size:
        return None
    if np.prod(dataset.chunks) * dataset.dtype.itemsize < MIN_CHUNK_BYTES:
        return None
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if not set(filters) <= {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE}:
        return None
    return _loader(dataset, filters)


def _loader(dataset: h5py.Dataset, filters: list[int]) -> Loader:
    shape, stored = dataset.chunks, dataset.dtype
    n_bytes = int(np.prod(shape)) * stored.itemsize
    path = Path(dataset.file.filename)

    def load(row: int, row_stop: int, col: int, col_stop: int) -> Array:
        info = dataset.id.get_chunk_info_by_coord((row, col))
        if info.byte_offset is None:  # never written: HDF5 stands in its fill value
            return np.full((row_stop - row, col_stop - col), dataset.fillvalue, dtype=stored)
        with path.open("rb", buffering=0) as file:
            file.seek(info.byte_offset)
            raw: Any = file.read(info.size)
        if len(raw) < info.size:
            raise OSError(f"the file ends inside the chunk at row {row}, column {col}")
        for at, code in reversed(list(enumerate(filters))):
            if info.filter_mask >> at & 1:  # this chunk was stored without that filter
                continue
            if code == h5z.FILTER_DEFLATE:
                raw = zlib.decompress(raw, bufsize=n_bytes)
            else:
                raw = _unshuffle(raw, stored.itemsize)
        block = np.frombuffer(raw, dtype=stored)
        return block.reshape(shape)[: row_stop - row, : col_stop - col]

    return load


def _unshuffle(raw: bytes, itemsize: int) -> Array:
    """Undo HDF5's shuffle, which stores all first bytes, then all second bytes, and so on."""
    whole = len(raw) // itemsize * itemsize
    planes = np.frombuffer(raw, np.uint8, whole).reshape(itemsize, -1)
    items = np.empty((planes.shape[1], itemsize), np.uint8)
    for byte in range(itemsize):
        items[:, byte] = planes[byte]
    return items.reshape(-1)
