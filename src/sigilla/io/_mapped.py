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
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sigilla.io._contiguous import Contiguous
    from sigilla.io._tasks import Task

    Array = NDArray[Any]
    Index = NDArray[np.intp]

WINDOWS_BYTES = 20 * 2**20  # of the map in memory, shared by all threads
AHEAD_BYTES = 2**17  # a gap that is faster read than sought over
ALONE_BYTES = 2**19  # with a row far from others a huge page of the cache may be mapped, whole
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
    try:
        pages = mmap.mmap(stored.file, size, access=mmap.ACCESS_READ, offset=base)
    except OSError:
        return None
    except ValueError as error:
        raise OSError(f"the file ended meanwhile: {error}") from error
    address = np.frombuffer(pages, np.uint8).ctypes.data
    # Values as bytes of no type: of unaligned numbers numpy would make a copy first.
    bare = np.dtype((np.void, stored.dtype.itemsize))
    values: Array = np.ndarray(stored.shape, bare, pages, stored.offset - base)
    return Mapped(stored, base, pages, address, values)


@dataclass(frozen=True)
class Mapped:
    """A matrix in a file that is mapped into memory.

    A window is worked on in few calls: after each that lets other threads have Python, this one
    waits until it has Python again.
    """

    stored: Contiguous
    base: int  # where in the file the map begins
    pages: mmap.mmap
    address: int
    values: Array

    def tasks(self, rows: Index | None, cols: Index | None, out: Array) -> Iterator[Task]:
        """What fills ``out`` with these rows and columns, a window of the file by each task."""
        line, item = self.stored.line, self.stored.dtype.itemsize
        start = self.stored.offset - self.base
        edges = (start, start + line)  # what is wanted of the first row lies between
        if cols is not None:
            edges = start + int(cols.min()) * item, start + int(cols.max() + 1) * item
        if rows is None:
            yield from self._all_rows(cols, edges, out)
            return
        order = None
        if np.any(np.diff(rows) < 0):
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
        cuts, firsts = self._plan(rows, edges)
        bounds = [0, *cuts.tolist(), len(rows)]
        for a, b in itertools.pairwise(bounds):
            some = firsts[slice(*np.searchsorted(firsts, (a, b)))]
            lasts = np.append(some[1:], b) - 1
            begins, ends = edges[0] + rows[some] * line, edges[1] + rows[lasts] * line
            stretches = list(zip(begins.tolist(), ends.tolist(), strict=True))
            target = slice(a, b) if order is None else order[a:b]
            yield partial(self._fill, rows[a:b], cols, stretches, out, target)

    def _all_rows(self, cols: Index | None, edges: tuple[int, int], out: Array) -> Iterator[Task]:
        line, (left, right) = self.stored.line, edges
        height = max(1, WINDOWS_BYTES // workers() // line)
        together = height if line - (right - left) <= AHEAD_BYTES else 1  # rows read at once
        for first in range(0, len(out), height):
            rows = slice(first, min(first + height, len(out)))
            stretches = [
                (left + row * line, right + (min(row + together, rows.stop) - 1) * line)
                for row in range(rows.start, rows.stop, together)
            ]
            yield partial(self._fill, rows, cols, stretches, out, rows)

    def _plan(self, rows: Index, edges: tuple[int, int]) -> tuple[Index, Index]:
        """Which of the sorted rows begin a window, but for the first; which, what is read at once.

        All at once, for windows are made while no other thread may work.
        """
        line, (left, right) = self.stored.line, edges
        apart = np.diff(rows, prepend=rows[0]) * line
        # A row holds itself in memory, and the gap that is read with it.
        held = np.where(apart > line + AHEAD_BYTES, line + ALONE_BYTES, apart)
        cuts = np.flatnonzero(np.diff(np.cumsum(held) // (WINDOWS_BYTES // workers()))) + 1
        is_first = apart > AHEAD_BYTES + right - left
        is_first[0] = is_first[cuts] = True
        return cuts, np.flatnonzero(is_first)

    def _fill(
        self,
        rows: slice | Index,
        cols: Index | None,
        stretches: list[tuple[int, int]],
        out: Array,
        target: slice | Index,
    ) -> None:
        """Put these rows and columns, which lie in the stretches, where they belong."""
        self._bring_in(stretches)
        if isinstance(target, slice) and out.dtype == self.stored.dtype:
            _gather(self.values, rows, cols, out[target].view(self.values.dtype))
        else:
            n_rows = target.stop - target.start if isinstance(target, slice) else len(target)
            found = np.empty((n_rows, out.shape[1]), self.values.dtype)
            _gather(self.values, rows, cols, found)
            out[target] = found.view(self.stored.dtype)
        self._give_back(stretches[0][0], stretches[-1][1])

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
        for begin, end in stretches:
            first = _page_of(begin)
            asked = (ctypes.c_uint64 * 2)(self.base + first, end - first)
            failed = _syscall(_CACHESTAT, self.stored.file, asked, found, 0)
            if failed or found[0] * mmap.PAGESIZE < end - first:
                return False
        return True

    def _forget(self, begin: int, end: int) -> None:
        """Have the system's cache let go of pages, one of which could not be read."""
        at, size = self.base + _page_of(begin), end - _page_of(begin)
        with suppress(OSError):
            os.posix_fadvise(self.stored.file, at, size, os.POSIX_FADV_DONTNEED)

    def _give_back(self, begin: int, end: int) -> None:
        """Let go of pages, which stay in the system's cache; if that fails, they are but kept.

        Those of whole rows: pages beside those that were touched came with them.
        """
        if _madvise is None:
            return
        start, line = self.stored.offset - self.base, self.stored.line
        first = _page_of(start + (begin - start) // line * line)
        stop = start - (start - end) // line * line
        _madvise(self.address + first, stop - first, mmap.MADV_DONTNEED)


def _page_of(byte: int) -> int:
    return byte // mmap.PAGESIZE * mmap.PAGESIZE


def _gather(values: Array, rows: slice | Index, cols: Index | None, out: Array) -> None:
    """``values[rows][:, cols]`` into ``out``, both contiguous."""
    # "clip" because "raise" makes numpy copy the output; the ids were checked before.
    if isinstance(rows, slice):
        if cols is None:
            out[...] = values[rows]
        else:
            np.take(values[rows], cols, axis=1, out=out, mode="clip")
    elif cols is None:
        np.take(values, rows, axis=0, out=out, mode="clip")
    else:
        flat, starts = values.reshape(-1), rows[:, None] * values.shape[1]
        height = max(1, TILE_BYTES // (8 * len(cols)))
        for at in range(0, len(rows), height):
            tile = slice(at, at + height)
            np.take(flat, starts[tile] + cols, out=out[tile], mode="clip")
