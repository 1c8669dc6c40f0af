"""Loops compiled by numba, where numpy would pass over the same memory several times.

Importing this imports numba, which takes a quarter of a second: only functions that need it do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds to wait for other processes, which need a few milliseconds each.
_PATIENCE = 60


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, which divides by zero as numpy does and lets other threads run.

    It is compiled when first called with a type, and kept for later processes where there is a
    folder to keep it in.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        fast = njit(function, cache=True, **options)
    except RuntimeError:  # neither beside the module nor in the user's home
        return njit(function, **options)
    kept = vars(fast).get("_cache")
    if kept is None:  # NUMBA_DISABLE_JIT is set
        return fast
    # Processes that save code for two types at once may choose the same file name: later calls for
    # one type would then run the code of the other.
    lock = Path(kept.cache_path) / f"{function.__module__}.lock"
    for name in ("load_overload", "save_overload"):
        setattr(kept, name, _one_at_a_time(getattr(kept, name), lock))
    return fast


def _one_at_a_time(work: Callable[..., Any], lock: Path) -> Callable[..., Any]:
    def locked(*args: Any) -> Any:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=_PATIENCE):
                return work(*args)
        # What is kept only spares compiling. Where the folder is full, may no longer be written, is
        # held for too long, or is on a file system without locks (a NotImplementedError of older
        # filelocks), this process compiles for itself, and the results are the same.
        except (OSError, NotImplementedError):
            return None

    return locked
