"""Loops that numpy would pass over memory for again and again, made machine code by numba.

Importing this imports numba, which takes a quarter of a second: only functions that need it do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, which holds on to no lock and divides by zero as numpy does.

    It is compiled when first called, and kept for later processes where there is a folder to keep
    it in.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # neither beside the module nor in the user's home
        return njit(function, **options)
