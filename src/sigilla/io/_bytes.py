"""Byte strings of one width, hashed eight bytes at a time instead of one string at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Words = NDArray[np.uint64]

WORD = 8


def words(values: Array) -> list[Words]:
    """The byte strings cut into 64-bit words, one array for each; the last two may overlap."""
    count, width = len(values), values.dtype.itemsize
    if width < WORD or not count:
        return [values.astype(f"S{WORD}").view(np.uint64)]
    whole = np.ascontiguousarray(values)
    starts = [*range(0, width - WORD, WORD), width - WORD]
    return [np.ndarray((count,), np.uint64, whole.data, at, (width,)).copy() for at in starts]


def hashes(columns: list[Words]) -> Words:
    """One 64-bit number for each string.

    Of strings that differ in their last word only, the hashes differ too; strings of one word are
    their own hash.
    """
    hashed = columns[0].copy()
    for column in columns[1:]:
        hashed ^= hashed >> np.uint64(29)
        hashed *= np.uint64(0x9E3779B97F4A7C15)
        hashed += column
    return hashed
