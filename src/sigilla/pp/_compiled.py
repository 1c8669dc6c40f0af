"""Loops that numpy would pass over memory for again and again, made machine code by numba.

Importing this imports numba, which takes a quarter of a second: only functions that need it do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


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
    # Processes that keep two types of a function at the same time would take one for the other.
    kept = vars(fast)["_cache"]
    lock = Path(kept.cache_path) / f"{function.__module__}.lock"
    for name in ("load_overload", "save_overload"):
        setattr(kept, name, _one_at_a_time(getattr(kept, name), lock))
    return fast


def _one_at_a_time(work: Callable[..., Any], lock: Path) -> Callable[..., Any]:
    def locked(*args: Any) -> Any:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock):
                return work(*args)
        except (OSError, NotImplementedError):  # no room or no locks there: nothing is kept
            return None

    return locked
