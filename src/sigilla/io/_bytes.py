"""Byte strings of one width, hashed eight bytes at a time instead of one string at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Words = NDArray[np.uint64]

WORD = 8
BLOCK = 2**15  # strings worked on at a time: they stay in the cache, and little memory is needed


def slices(count: int) -> Iterator[slice]:
    """The blocks that ``count`` strings are worked on in."""
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def words(values: Array) -> Iterator[Words]:
    """The byte strings cut into 64-bit words, one array for each; the last two may overlap."""
    count, width = len(values), values.dtype.itemsize
    if width < WORD or not count:
        yield values.astype(f"S{WORD}").view(np.uint64)
        return
    whole = np.ascontiguousarray(values)
    for at in (*range(0, width - WORD, WORD), width - WORD):
        yield np.ndarray((count,), np.uint64, whole.data, at, (width,)).copy()


def hashes(values: Array) -> Words:
    """One 64-bit number for each string.

    Of strings that differ in their last word only, the hashes differ too; strings of one word are
    their own hash.
    """
    out = np.empty(len(values), np.uint64)
    for block in slices(len(values)):
        columns = words(values[block])
        first = next(columns)
        for column in columns:
            first ^= first >> np.uint64(29)
            first *= np.uint64(0x9E3779B97F4A7C15)
            first += column
        out[block] = first
    return out


def same(values: Array, distinct: Array, codes: NDArray[np.intp]) -> bool:
    """Whether ``distinct[codes]`` is ``values``, where their hashes are known to be the same."""
    # With the same hash and the same words before the last one, the last is the same too.
    known = list(words(distinct))[:-1]
    return all(
        np.array_equal(np.take(word, codes[block]), part)
        for block in slices(len(values))
        for word, part in zip(known, words(values[block]), strict=False)
    )
