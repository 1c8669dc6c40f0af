"""The chunks of an HDF5 dataset fetched and inflated without HDF5's lock, on many threads."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import deflate
import numpy as np
from h5py import h5d, h5f, h5fd, h5i, h5t, h5z

from sigilla.io._contiguous import is_as_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]

MIN_CHUNK_BYTES = 2**11  # below it, finding a chunk costs more than HDF5's own inflating
BUFFER_BYTES = 2**18  # each read of a small chunk would release the GIL, and others may keep it
PIECE = 2**17  # values of a column worked on at a time, where they are
PIECE_BYTES = 2**22  # not more than this
READABLE = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE}


@dataclass(frozen=True)
class Chunks:
    """How the chunks of a dataset are found and unpacked; any thread may do so."""

    dataset: h5py.Dataset
    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    filters: tuple[tuple[int, int], ...]  # the last applied first: its bit in masks, its code
    n_bytes: int  # of one chunk, unpacked

    def open(self, buffering: int = 0) -> BinaryIO:
        """The file for :meth:`read`; each thread needs its own."""
        return self.path.open("rb", buffering=buffering)

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
        for bit, code in self.filters:
            if info.filter_mask & bit:  # this chunk was stored without that filter
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
    if dtype.kind == "S":
        if dataset.id.get_type().get_strpad() != h5t.STR_NULLPAD:
            return None  # HDF5 turns other paddings, such as MATLAB's spaces, into numpy's zeros
    elif not is_as_in_memory(dataset):
        return None
    shape = properties.get_chunk()
    last = properties.get_nfilters() - 1
    filters = tuple((1 << i, properties.get_filter(i)[0]) for i in range(last, -1, -1))
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < MIN_CHUNK_BYTES or not {code for _, code in filters} <= READABLE:
        return None
    return Chunks(dataset, Path(os.fsdecode(h5f.get_name(file))), shape, dtype, filters, n_bytes)


def read_column(source: h5py.Dataset | Array) -> Array:
    """All of a one-dimensional dataset; several threads may each read one at the same time."""
    out = np.empty(source.shape, plain(source))
    for piece, values in read_pieces(source):
        out[piece] = values
    return out


def read_at(source: h5py.Dataset | Array, at: NDArray[np.intp]) -> Array:
    """The values of a one-dimensional dataset at these positions, in their order."""
    order = None
    if np.any(np.diff(at) < 0):
        order = np.argsort(at, kind="stable")
        at = at[order]
    found = np.empty(len(at), plain(source))
    with _blocks(source) as blocks:
        block, inside = np.divmod(at, blocks.height)
        cuts = np.flatnonzero(np.diff(block, prepend=-1))
        edges = pairwise([*cuts.tolist(), len(at)])
        for start, (a, b) in zip((block[cuts] * blocks.height).tolist(), edges, strict=True):
            # "clip" because "raise" makes numpy copy the output.
            blocks.read(start).take(inside[a:b], out=found[a:b], mode="clip")
    if order is None:
        return found
    out = np.empty_like(found)
    out[order] = found
    return out


def read_pieces(source: h5py.Dataset | Array) -> Iterator[tuple[slice, Array]]:
    """A one-dimensional dataset piece by piece, and where each belongs.

    A piece may be read-only, and is to be let go of before the next.
    """
    with _blocks(source) as blocks:
        several = blocks.height < min(blocks.step, len(source))
        room = np.empty(blocks.step if several else 0, blocks.dtype)  # of all pieces
        for piece in slices(len(source), blocks.step):
            yield piece, blocks.piece(piece, room)


def is_one_piece(source: h5py.Dataset | Array) -> bool:
    """Whether a one-dimensional dataset is worked on in one piece, and may be kept as well."""
    return len(source) <= PIECE and source.nbytes <= PIECE_BYTES


def slices(count: int, step: int = PIECE) -> Iterator[slice]:
    """``count`` values in parts of ``step``."""
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def plain(source: h5py.Dataset | Array) -> np.dtype[Any]:
    """The type without h5py's notes on it, for which numpy would copy text string by string."""
    return np.dtype(source.dtype.str) if source.dtype.kind == "S" else source.dtype


@dataclass(frozen=True)
class _Blocks:
    """A one-dimensional dataset in the blocks that are read at once."""

    height: int
    dtype: np.dtype[Any]
    read: Callable[[int], Array]  # the block that begins at a position

    @property
    def step(self) -> int:
        """How many values make a piece: whole blocks, of some megabytes at most."""
        most = min(PIECE, PIECE_BYTES // self.dtype.itemsize)
        return self.height * max(1, most // self.height)

    def piece(self, at: slice, room: Array) -> Array:
        """The values there; put together in ``room`` where they are of several blocks."""
        size = at.stop - at.start
        if size <= self.height:
            return self.read(at.start)[:size]
        for start in range(0, size, self.height):
            part = room[start:size][: self.height]
            part[...] = self.read(at.start + start)[: len(part)]
        return room[:size]


@contextmanager
def _blocks(source: h5py.Dataset | Array) -> Iterator[_Blocks]:
    chunks = None if isinstance(source, np.ndarray) else chunks_of(source, "iufS")
    if chunks is None:
        dtype = plain(source)
        height = max(1, min(PIECE, PIECE_BYTES // dtype.itemsize))
        yield _Blocks(height, dtype, lambda start: source[start : start + height])
        return
    located = chunks.located()
    with chunks.open(BUFFER_BYTES) as file:

        def read(start: int) -> Array:
            return chunks.read(file, (start,), located.get((start,)))

        yield _Blocks(chunks.shape[0], chunks.dtype, read)


def _unshuffle(raw: bytes, itemsize: int) -> Array:
    """Undo HDF5's shuffle, which stores all first bytes, then all second bytes, and so on."""
    planes = np.frombuffer(raw, np.uint8).reshape(itemsize, -1)
    items = np.empty((planes.shape[1], itemsize), np.uint8)
    for byte in range(itemsize):
        items[:, byte] = planes[byte]
    return items.reshape(-1)
