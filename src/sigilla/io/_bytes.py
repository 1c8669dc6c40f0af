"""Byte strings of one width, hashed eight bytes at a time instead of one string at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Words = NDArray[np.uint64]

WORD = 8
ASCII = 127


def are_ascii(values: Array) -> bool:
    """Whether the byte strings, at least one and one after the other, hold nothing but ASCII."""
    return bool(values.view(np.uint8).max() <= ASCII)


def words(values: Array) -> list[Words]:
    """The byte strings cut into 64-bit words, one view for each; the last two may overlap."""
    count, width = len(values), values.dtype.itemsize
    if width < WORD or not count:
        return [values.astype(f"S{WORD}").view(np.uint64)]
    whole = np.ascontiguousarray(values)
    starts = (*range(0, width - WORD, WORD), width - WORD)
    return [np.ndarray((count,), np.uint64, whole.data, at, (width,)) for at in starts]


def hashes(values: Array) -> Words:
    """One 64-bit number for each string.

    Of strings that differ in their last word only, the hashes differ too; strings of one word are
    their own hash.
    """
    first, *others = words(values)
    found = first.copy()
    for word in others:
        found ^= found >> np.uint64(29)
        found *= np.uint64(0x9E3779B97F4A7C15)
        found += word
    return found


def same(values: Array, distinct: Array, codes: NDArray[np.intp]) -> bool:
    """Whether ``distinct[codes]`` is ``values``, where their hashes are known to be the same."""
    # With the same hash and the same words before the last one, the last is the same too.
    pairs = zip(words(distinct)[:-1], words(values)[:-1], strict=True)
    # To gather from a view that is not aligned takes longer than to copy it first.
    return all(np.array_equal(known.copy()[codes], word) for known, word in pairs)
