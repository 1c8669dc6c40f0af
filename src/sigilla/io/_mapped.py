"""Rows and columns of a contiguous HDF5 dataset, taken from a map of its file into memory.

Reads would copy what they pass over first, and a row here and a row there would cost more in calls
than in copies.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import h5py
    from numpy.typing import NDArray

    from sigilla.io._tasks import Task

    Array = NDArray[Any]
    Index = NDArray[np.intp]

WINDOW_BYTES = 4 * 2**20  # of the map in memory for one task
FAULT_BYTES = 2**16  # that the system brings in around one that was touched
AHEAD_BYTES = 2**17  # a gap that is faster read than sought over
TILE_BYTES = 2**19  # a buffer that stays in a core's own cache
# Advice about pages, where the system takes it; Python has no name yet for Linux's populating.
_LOOK_FOR = getattr(mmap, "MADV_WILLNEED", None)
_GIVE_BACK = getattr(mmap, "MADV_DONTNEED", None)
_POPULATE = 22 if sys.platform == "linux" else None


def mapped(dataset: h5py.Dataset) -> Mapped | None:
    """A dataset whose values stand in the file as in memory; None where HDF5 has to be asked."""
    plain = dataset.chunks is None and not dataset.is_virtual and not dataset.external
    if not plain or dataset.file.driver != "sec2" or dataset.dtype.kind not in "iuf":
        return None
    offset = dataset.id.get_offset()
    if offset is None:  # nothing was ever written
        return None
    base = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    size = offset - base + dataset.size * dataset.dtype.itemsize
    with Path(dataset.file.filename).open("rb") as file:
        try:
            pages = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ, offset=base)
        except OSError:  # not on every file system
            return None
        except ValueError as error:
            raise OSError(f"the file ends before its matrix does: {error}") from error
    return Mapped(pages, offset - base, dataset.shape, dataset.dtype)


@dataclass(frozen=True)
class Mapped:
    """A matrix in a file that is mapped into memory."""

    pages: mmap.mmap
    start: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def line(self) -> int:
        """Bytes of one row."""
        return self.shape[1] * self.dtype.itemsize

    def tasks(self, rows: Index | None, cols: Index | None, out: Array) -> Iterator[Task]:
        """What fills ``out`` with these rows and columns, a window of the file by each task."""
        order: Index | None = None
        cuts: Sequence[int] = range(0, len(out), max(1, WINDOW_BYTES // self.line))
        if rows is not None:
            if np.any(np.diff(rows) < 0):
                order = np.argsort(rows, kind="stable")
                rows = rows[order]
            cuts = self._cuts(rows)
        for a, b in itertools.pairwise([*cuts, len(out)]):
            if rows is None:
                first, stop, local = a, b, None
            else:
                first, stop = int(rows[a]), int(rows[b - 1]) + 1
                local = rows[a:b] - first
            target = slice(a, b) if order is None else order[a:b]
            yield partial(self._fill, first, stop, local, cols, out, target)

    def _cuts(self, rows: Index) -> Sequence[int]:
        """Where windows begin: a row far from the last one costs what comes in around it."""
        held = np.minimum(np.diff(rows, prepend=rows[0]) * self.line, self.line + FAULT_BYTES)
        return [0, *(np.flatnonzero(np.diff(np.cumsum(held) // WINDOW_BYTES)) + 1).tolist()]

    def _fill(
        self,
        first: int,
        stop: int,
        rows: Index | None,
        cols: Index | None,
        out: Array,
        target: slice | Index,
    ) -> None:
        """Put rows and columns of the window from row ``first`` to ``stop`` where they belong."""
        # Values as bytes of no type: of unaligned numbers numpy would make a copy first.
        bare = np.dtype((np.void, self.dtype.itemsize))
        at = self.start + first * self.line
        window: Array = np.ndarray((stop - first, self.shape[1]), bare, self.pages, at)
        self._bring_in([(first, stop)] if rows is None else self._stretches(first + rows))
        if isinstance(target, slice) and out.dtype == self.dtype:
            _gather(window, rows, cols, out[target].view(bare))
        else:
            found = np.empty((stop - first if rows is None else len(rows), out.shape[1]), bare)
            _gather(window, rows, cols, found)
            out[target] = found.view(self.dtype)
        self._advise(_GIVE_BACK, first, stop)  # they stay in the system's cache

    def _stretches(self, rows: Index) -> list[tuple[int, int]]:
        """First row and end of what is to be read at once."""
        breaks = np.flatnonzero(np.diff(rows) * self.line > AHEAD_BYTES)
        firsts, lasts = rows[[0, *(breaks + 1)]], rows[[*breaks, -1]]
        return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))

    def _bring_in(self, stretches: list[tuple[int, int]]) -> None:
        """Have the disk look for all stretches at once; each page touched would wait for its own.

        Populating them is also what makes a damaged disk, or a file cut off meanwhile, an error:
        where a page cannot be had, touching it ends the process.
        """
        if len(stretches) > 1:
            for first, stop in stretches:
                self._advise(_LOOK_FOR, first, stop)
        for first, stop in stretches:
            self._advise(_POPULATE, first, stop)

    def _advise(self, advice: int | None, first: int, stop: int) -> None:
        """Tell the system what the pages from row ``first`` to ``stop`` are for."""
        if advice is None:
            return
        begin = self.start + first * self.line
        page = begin // mmap.PAGESIZE * mmap.PAGESIZE
        try:
            self.pages.madvise(advice, page, self.start + stop * self.line - page)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a system that does not know this advice
                raise


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
