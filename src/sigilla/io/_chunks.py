"""The chunks of an HDF5 dataset fetched and inflated without HDF5's lock, on many threads."""

from __future__ import annotations

import itertools
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import deflate
import numpy as np
from h5py import h5d, h5f, h5fd, h5i, h5t, h5z

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]

MIN_CHUNK_BYTES = 2**11  # below it, finding a chunk costs more than HDF5's own inflating
BUFFER_BYTES = 2**18
PIECE = 2**17  # values of a column read at a time
READABLE = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE}


@dataclass(frozen=True)
class Chunks:
    """How the chunks of a dataset are found and unpacked; any thread may do so."""

    dataset: h5py.Dataset
    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    filters: tuple[int, ...]
    n_bytes: int  # of one chunk, unpacked

    def open(self) -> BinaryIO:
        """The file for :meth:`read`; each thread needs its own.

        Small chunks lie beside each other: read one by one, each would let go of Python, which
        another thread then holds on to.
        """
        return self.path.open("rb", buffering=BUFFER_BYTES)

    def located(self) -> dict[tuple[int, ...], Any]:
        """Where the file holds each chunk, for :meth:`read`: one walk instead of many searches."""
        found: list[Any] = []
        if hasattr(self.dataset.id, "chunk_iter"):  # not with every HDF5 that h5py is built on
            self.dataset.id.chunk_iter(found.append)
        return {info.chunk_offset: info for info in found}

    def read(self, file: BinaryIO, start: tuple[int, ...], info: Any = None) -> Array:
        """The chunk that starts there, whole, also where it reaches past the dataset's end."""
        info = info or self.dataset.id.get_chunk_info_by_coord(start)
        if info.byte_offset is None:  # never written: HDF5 stands in its fill value
            return np.full(self.shape, self.dataset.fillvalue, self.dtype)
        file.seek(info.byte_offset)
        raw: Any = file.read(info.size)
        if len(raw) < info.size:
            raise OSError(f"the file ends inside the chunk at {start}")
        for at, code in reversed(list(enumerate(self.filters))):
            if info.filter_mask >> at & 1:  # this chunk was stored without that filter
                continue
            if code == h5z.FILTER_DEFLATE:
                raw = self._inflate(raw, start)
            else:
                raw = _unshuffle(raw, self.dtype.itemsize)
        if len(raw) != self.n_bytes:
            raise OSError(f"the chunk at {start} holds {len(raw)} bytes, not {self.n_bytes}")
        return np.frombuffer(raw, dtype=self.dtype).reshape(self.shape)

    def _inflate(self, raw: bytes, start: tuple[int, ...]) -> bytearray:
        # libdeflate: twice as fast as zlib, and as ready to run on several threads.
        try:
            return deflate.zlib_decompress(raw, self.n_bytes)
        except deflate.DeflateError as error:
            raise OSError(f"the chunk at {start} cannot be unpacked: {error}") from error


def chunks_of(dataset: h5py.Dataset, kinds: str = "iuf") -> Chunks | None:
    """How to read its chunks; None where only HDF5 can decode them, or does so as fast."""
    # h5py's own properties ask the file for the same again and again, once for each column.
    properties, dtype = dataset.id.get_create_plist(), plain(dataset)
    if properties.get_layout() != h5d.CHUNKED or dtype.kind not in kinds:
        return None
    file = h5i.get_file_id(dataset.id)
    if file.get_access_plist().get_driver() != h5fd.SEC2 or file.get_create_plist().get_userblock():
        return None
    if dtype.kind == "S" and dataset.id.get_type().get_strpad() != h5t.STR_NULLPAD:
        return None  # HDF5 turns other paddings, such as MATLAB's spaces, into numpy's zeros
    shape = properties.get_chunk()
    filters = tuple(properties.get_filter(i)[0] for i in range(properties.get_nfilters()))
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < MIN_CHUNK_BYTES or not set(filters) <= READABLE:
        return None
    return Chunks(dataset, Path(os.fsdecode(h5f.get_name(file))), shape, dtype, filters, n_bytes)


def plain(source: h5py.Dataset | Array) -> np.dtype[Any]:
    """The type without h5py's notes on it, for which numpy would copy text string by string."""
    return np.dtype(source.dtype.str) if source.dtype.kind == "S" else source.dtype


def slices(count: int, step: int = PIECE) -> Iterator[slice]:
    """The pieces that ``count`` values are worked on in."""
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def read_column(source: h5py.Dataset | Array) -> Array:
    """All of a one-dimensional dataset; several threads may each read one at the same time."""
    out = np.empty(source.shape, plain(source))
    for piece, values in read_pieces(source):
        if len(values) == len(out):
            return values
        out[piece] = values
    return out


def read_at(source: h5py.Dataset | Array, at: NDArray[np.intp]) -> Array:
    """The values of a one-dimensional dataset at these positions, in their order."""
    out = np.empty(len(at), plain(source))
    order = np.argsort(at, kind="stable")
    ordered = at[order]
    with _blocks(source) as (height, block):
        step = _step(height)
        cuts = np.flatnonzero(np.diff(ordered // step, prepend=-1)).tolist()
        for a, b in itertools.pairwise([*cuts, len(at)]):
            begin = int(ordered[a]) // step * step
            wanted = ordered[a:b] - begin
            starts = np.unique(wanted // height) * height
            out[order[a:b]] = _piece(block, begin, starts.tolist(), height, step, out.dtype)[wanted]
    return out


def read_pieces(source: h5py.Dataset | Array) -> Iterator[tuple[slice, Array]]:
    """A one-dimensional dataset piece by piece, and where each belongs."""
    count = len(source)
    with _blocks(source) as (height, block):
        for piece in slices(count, _step(height)):
            size = piece.stop - piece.start
            starts = range(0, size, height)
            yield piece, _piece(block, piece.start, starts, height, size, plain(source))


def _step(height: int) -> int:
    """How many values make a piece of whole blocks."""
    return height * max(1, PIECE // height)


def _piece(
    block: Callable[[int], Array],
    begin: int,
    starts: Sequence[int],
    height: int,
    size: int,
    dtype: np.dtype[Any],
) -> Array:
    """``size`` values from ``begin`` on, of which only the blocks at ``starts`` are read."""
    if size <= height:
        return block(begin)[:size]
    values = np.empty(size, dtype)
    for start in starts:
        part = values[start : start + height]
        part[...] = block(begin + start)[: len(part)]
    return values


@contextmanager
def _blocks(source: h5py.Dataset | Array) -> Iterator[tuple[int, Callable[[int], Array]]]:
    """How many values are read at once, and a function that reads those from a start on."""
    chunks = None if isinstance(source, np.ndarray) else chunks_of(source, "iufS")
    if chunks is None:
        yield PIECE, lambda start: source[start : start + PIECE]
        return
    located = chunks.located()
    with chunks.open() as file:

        def block(start: int) -> Array:
            return chunks.read(file, (start,), located.get((start,)))

        yield chunks.shape[0], block


def _unshuffle(raw: bytes, itemsize: int) -> Array:
    """Undo HDF5's shuffle, which stores all first bytes, then all second bytes, and so on."""
    planes = np.frombuffer(raw, np.uint8).reshape(itemsize, -1)
    items = np.empty((planes.shape[1], itemsize), np.uint8)
    for byte in range(itemsize):
        items[:, byte] = planes[byte]
    return items.reshape(-1)
