"""What a process holds in memory, and memory that the system has at hand."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

PAGE = 4096
# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def resident(field: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def forget_peak() -> None:
    """From here on ``VmHWM`` is the most since now."""
    Path("/proc/self/clear_refs").write_text("5")


def have_at_hand(n_bytes: int) -> None:
    """Take this much memory, touch it and let it go, so that the next to ask is given it at once.

    A virtual machine may give memory that nobody uses back to its host. To have it again takes
    twenty times as long as memory that was just let go of (2 seconds a GiB where the results were
    measured), which would be timed in place of the work that happens to ask first. More than the
    machine has free would drive files out of the system's cache.
    """
    np.empty(n_bytes, np.uint8)[::PAGE] = 1


def keep_at_hand(n_bytes: int) -> None:
    """Take this much memory, touch it and keep it for what this thread asks for from here on.

    Memory that is merely let go of is back with the host a few seconds later, which is too early
    for work that takes longer.
    """
    libc = ctypes.CDLL(None)
    # Nothing is given back, nor mapped for itself, to be given back when it is let go of.
    for option, value in ((_TRIM_THRESHOLD, -1), (_MMAP_MAX, 0)):
        if not libc.mallopt(option, value):
            raise OSError("malloc refuses to keep memory; growth is timed with glibc's")
    have_at_hand(n_bytes)
