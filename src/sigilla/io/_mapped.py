"""Rows and columns of a contiguous matrix, taken from a map of its file into memory.

Reading would copy also what is not wanted, and a call for each of many short rows costs more than
the copy of the row.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import mmap
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.io._tasks import workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sigilla.io._contiguous import Contiguous
    from sigilla.io._tasks import Task

    Array = NDArray[Any]
    Index = NDArray[np.intp]

WINDOWS_BYTES = 48 * 2**20  # of the map in memory, shared by all threads
AHEAD_BYTES = 2**17  # a gap that is faster read than sought over
ALONE_BYTES = 2**20  # for a row far from others a huge page of the cache may be mapped, whole
TILE_BYTES = 2**19  # a buffer that stays in a core's own cache

# Linux's advice, from 5.14 on, to bring pages in, or to say why not. It has no name in Python.
_POPULATE = 22
# Its system call, from 6.5 on, that counts the pages of a file in the system's cache.
_CACHESTAT = 451
_madvise = _syscall = None
if sys.platform != "win32":
    # Advice takes a while, during which mmap's own method would hold on to Python.
    _madvise = ctypes.CDLL(None, use_errno=True).madvise
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
if sys.platform == "linux":
    _syscall = ctypes.PyDLL(None).syscall  # too short to let others have Python meanwhile
    _syscall.argtypes = [ctypes.c_long, ctypes.c_int, *[ctypes.c_void_p] * 2, ctypes.c_uint]


def mapped(stored: Contiguous) -> Mapped | None:
    """The matrix in its file, mapped; None on file systems that have no maps."""
    base = stored.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    size = stored.offset - base + stored.shape[0] * stored.line
    with stored.open() as file:
        try:
            pages = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ, offset=base)
        except OSError:
            return None
        except ValueError as error:
            raise OSError(f"the file ended meanwhile: {error}") from error
    address = np.frombuffer(pages, np.uint8).ctypes.data
    return Mapped(stored, base, pages, address)


@dataclass(frozen=True)
class Mapped:
    """A matrix in a file that is mapped into memory."""

    stored: Contiguous
    base: int  # where in the file the map begins
    pages: mmap.mmap
    address: int

    @property
    def start(self) -> int:
        """Where in the map the matrix begins."""
        return self.stored.offset - self.base

    @property
    def line(self) -> int:
        """Bytes of one row."""
        return self.stored.line

    def tasks(self, rows: Index | None, cols: Index | None, out: Array) -> Iterator[Task]:
        """What fills ``out`` with these rows and columns, a window of the file by each task."""
        item, order = self.stored.dtype.itemsize, None
        edges = (0, self.line)  # what is wanted of a row lies between
        if cols is not None:
            edges = int(cols.min()) * item, int(cols.max() + 1) * item
        window = WINDOWS_BYTES // workers()
        cuts: Sequence[int] = range(0, len(out), max(1, window // self.line))
        if rows is not None:
            if np.any(np.diff(rows) < 0):
                order = np.argsort(rows, kind="stable")
                rows = rows[order]
            cuts = self._cuts(rows, window)
        for a, b in itertools.pairwise([*cuts, len(out)]):
            if rows is None:
                first, stop, local = a, b, None
            else:
                first, stop = int(rows[a]), int(rows[b - 1]) + 1
                local = rows[a:b] - first
            target = slice(a, b) if order is None else order[a:b]
            yield partial(self._fill, first, stop, local, cols, edges, out, target)

    def _cuts(self, rows: Index, window: int) -> Sequence[int]:
        """Where windows begin: a row holds itself in memory, and the gap that is read with it."""
        apart = np.diff(rows, prepend=rows[0]) * self.line
        held = np.where(apart > self.line + AHEAD_BYTES, self.line + ALONE_BYTES, apart)
        return [0, *(np.flatnonzero(np.diff(np.cumsum(held) // window)) + 1).tolist()]

    def _fill(
        self,
        first: int,
        stop: int,
        rows: Index | None,
        cols: Index | None,
        edges: tuple[int, int],
        out: Array,
        target: slice | Index,
    ) -> None:
        """Put rows and columns of the window from row ``first`` to ``stop`` where they belong."""
        # Values as bytes of no type: of unaligned numbers numpy would make a copy first.
        bare = np.dtype((np.void, self.stored.dtype.itemsize))
        at = self.start + first * self.line
        window: Array = np.ndarray((stop - first, self.stored.shape[1]), bare, self.pages, at)
        self._bring_in(self._stretches(first, stop, rows, edges))
        if isinstance(target, slice) and out.dtype == self.stored.dtype:
            _gather(window, rows, cols, out[target].view(bare))
        else:
            found = np.empty((stop - first if rows is None else len(rows), out.shape[1]), bare)
            _gather(window, rows, cols, found)
            out[target] = found.view(self.stored.dtype)
        self._give_back(at, self.start + stop * self.line)

    def _stretches(
        self, first: int, stop: int, rows: Index | None, edges: tuple[int, int]
    ) -> list[tuple[int, int]]:
        """Begin and end, in the map, of what is to be read at once."""
        left, right = edges
        if rows is None and self.line - right + left <= AHEAD_BYTES:
            return [
                (self.start + first * self.line + left, self.start + (stop - 1) * self.line + right)
            ]
        at = self.start + (np.arange(first, stop) if rows is None else first + rows) * self.line
        breaks = np.flatnonzero(np.diff(at) > AHEAD_BYTES + right - left)
        begins = at[[0, *(breaks + 1)]].tolist()
        ends = at[[*breaks, -1]].tolist()
        return [(begin + left, end + right) for begin, end in zip(begins, ends, strict=True)]

    def _bring_in(self, stretches: list[tuple[int, int]]) -> None:
        """Have the disk look for all stretches at once; each page touched is waited for.

        To touch a page that cannot be had, of a damaged disk or a file cut off meanwhile, ends the
        process; populating it is an error instead. Other systems than Linux have no such thing.
        Pages in the system's cache can be had, and touching some maps their neighbours as well,
        in half the time. That cache also counts pages that could not be read, until told to forget
        them.
        """
        if self._are_cached(stretches):
            return
        if len(stretches) > 1 and hasattr(mmap, "MADV_WILLNEED"):
            for begin, end in stretches:
                with suppress(OSError):  # it is but advice
                    self.pages.madvise(mmap.MADV_WILLNEED, _page_of(begin), end - _page_of(begin))
        if _madvise is None or sys.platform != "linux":
            return
        for begin, end in stretches:
            if _madvise(self.address + _page_of(begin), end - _page_of(begin), _POPULATE):
                code = ctypes.get_errno()
                if code != errno.EINVAL:  # as an older Linux says
                    for stretch in stretches:
                        self._forget(*stretch)
                    raise OSError(code, os.strerror(code))

    def _are_cached(self, stretches: list[tuple[int, int]]) -> bool:
        """Whether the system's cache has all of them; not where it does not say."""
        if _syscall is None:
            return False
        found = (ctypes.c_uint64 * 5)()  # the first is the number of pages
        with suppress(OSError), self.stored.open() as file:
            for begin, end in stretches:
                first = _page_of(begin)
                asked = (ctypes.c_uint64 * 2)(self.base + first, end - first)
                failed = _syscall(_CACHESTAT, file.fileno(), asked, found, 0)
                if failed or found[0] * mmap.PAGESIZE < end - first:
                    return False
            return True
        return False

    def _forget(self, begin: int, end: int) -> None:
        """Have the system's cache let go of pages, one of which could not be read."""
        first = _page_of(begin)
        with suppress(OSError), self.stored.open() as file:
            os.posix_fadvise(file.fileno(), self.base + first, end - first, os.POSIX_FADV_DONTNEED)

    def _give_back(self, begin: int, end: int) -> None:
        """Let go of pages, which stay in the system's cache; if that fails, they are but kept."""
        if _madvise is not None:
            _madvise(self.address + _page_of(begin), end - _page_of(begin), mmap.MADV_DONTNEED)


def _page_of(byte: int) -> int:
    return byte // mmap.PAGESIZE * mmap.PAGESIZE


def _gather(window: Array, rows: Index | None, cols: Index | None, out: Array) -> None:
    """``window[rows][:, cols]`` into ``out``; in tiles, where rows are taken before columns."""
    # "clip" because "raise" makes numpy copy the output; the ids were checked before.
    if rows is None:
        if cols is None:
            out[...] = window
        else:
            np.take(window, cols, axis=1, out=out, mode="clip")
    elif cols is None:
        np.take(window, rows, axis=0, out=out, mode="clip")
    else:
        height = max(1, TILE_BYTES // (window.shape[1] * window.itemsize))
        for at in range(0, len(rows), height):
            tile = slice(at, at + height)
            np.take(np.take(window, rows[tile], axis=0), cols, axis=1, out=out[tile], mode="clip")
