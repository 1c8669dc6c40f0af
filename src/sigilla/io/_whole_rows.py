"""Whole rows of a contiguous matrix, read from its file straight to where they belong."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sigilla.io._contiguous import Contiguous
    from sigilla.io._tasks import Task

    Array = NDArray[Any]
    Index = NDArray[np.intp]

CALL_BYTES = 2**15  # a read of less takes longer than to map the file and to copy from the map
TASK_BYTES = 2**23

# To take of a file what Linux has in its cache, and not to wait for the rest.
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


def whole_rows(stored: Contiguous, rows: Index | None, out: Array) -> Iterator[Task] | None:
    """What fills ``out`` with these rows; None where other ways are faster, or the only ones."""
    if not hasattr(os, "preadv") or out.dtype != stored.dtype:
        return None
    begins = np.arange(0, len(out), max(1, TASK_BYTES // stored.line))
    if rows is not None:
        begins = np.union1d(begins, np.flatnonzero(np.diff(rows, prepend=-1) != 1))
    if len(begins) * CALL_BYTES > max(CALL_BYTES, out.nbytes):
        return None
    return _tasks(stored, begins, begins if rows is None else rows[begins], out)


def _tasks(stored: Contiguous, begins: Index, rows: Index, out: Array) -> Iterator[Task]:
    """Read ``out`` from each of ``begins`` to the next out of the file, from these rows on."""
    sizes = np.diff(begins, append=len(out)) * stored.line
    order = np.argsort(rows, kind="stable")  # of the file
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes[order]) // TASK_BYTES)) + 1
    into = out.reshape(-1).view(np.uint8).data
    for some in np.split(order, cuts):
        places = (stored.offset + rows[some] * stored.line).tolist()
        starts, lengths = (begins[some] * stored.line).tolist(), sizes[some].tolist()
        parts = [into[at : at + n] for at, n in zip(starts, lengths, strict=True)]
        yield partial(_read, stored.file, list(zip(places, parts, strict=True)))


def _read(file: int, wanted: list[tuple[int, memoryview]]) -> None:
    """Fill each part from its place in the file."""
    is_filled = partial(_is_filled_from_cache, file)
    late = list(itertools.dropwhile(lambda one: is_filled(*one), wanted))
    if hasattr(os, "posix_fadvise"):
        for place, part in late:  # the disk looks for all at once
            with suppress(OSError):  # it is but advice
                os.posix_fadvise(file, place, len(part), os.POSIX_FADV_WILLNEED)
    for place, part in late:
        _fill(file, place, part)


def _is_filled_from_cache(file: int, place: int, part: memoryview) -> bool:
    if _NOWAIT is None:
        return False
    with suppress(OSError):  # not on every file system, and a cache may lack all of it
        return os.preadv(file, [part], place, _NOWAIT) == len(part)
    return False


def _fill(file: int, place: int, part: memoryview) -> None:
    while part:
        n_bytes = os.preadv(file, [part], place)
        if not n_bytes:
            raise OSError("the file ended while its matrix was read")
        place, part = place + n_bytes, part[n_bytes:]
