"""Metadata columns of GCTX, GCT and GEO tables: bytes decoded, numbers found, -666 made missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Container

    from numpy.typing import NDArray

    Array = NDArray[Any]

MISSING = -666
"""The Connectivity Map's mark of a missing value, as a number or as text."""


def decode(values: Array) -> Array:
    """Ids as str objects: byte strings of fixed or variable length, or numbers."""
    if values.dtype.kind == "S":
        return _texts(values.tolist())
    if values.dtype.kind == "O":
        return _texts(list(values))
    return values.astype(str).astype(object)


def tidy(values: Array, nulls: Container[str] = frozenset({"-666"})) -> Array:
    """A metadata column as users expect it: text of numbers as numbers, -666 as missing.

    ``nulls`` are the texts that stand for a missing value. The work is done on the distinct
    values, and equal values become one object: a column of a million short labels costs eight
    megabytes and a tenth of a second.
    """
    if values.dtype.kind in "SO":
        codes, distinct = _factorize(values)
        return np.take(_tidy_texts(_texts(distinct), nulls), codes)
    if values.dtype.kind == "f" and values.dtype.itemsize < 8:
        # Through the shortest decimal, so that a stored 0.1 is 0.1 and not 0.10000000149.
        values = values.astype(str).astype(np.float64)
    return _missing_as_nan(values)


def _tidy_texts(texts: Array, nulls: Container[str]) -> Array:
    known = np.array([text not in nulls for text in texts], dtype=bool)
    texts[~known] = np.nan
    probe = next((text for text in texts[known] if text), None)
    # Mostly one value tells that a column is text; only columns that may be numbers are parsed.
    if probe is None or _numbers(np.array([probe], dtype=object)) is not None:
        numbers = _numbers(texts)
        if numbers is not None:
            return _missing_as_nan(numbers)
    return texts


def _numbers(texts: Array) -> Array | None:
    try:
        numbers = np.asarray(pd.to_numeric(texts))
    except (ValueError, TypeError):
        return None
    return numbers if numbers.dtype.kind in "iuf" else None


def _missing_as_nan(values: Array) -> Array:
    if values.dtype.kind in "iuf" and bool(np.any(values == MISSING)):
        return np.where(values == MISSING, np.nan, values)
    return values


def _texts(items: list[Any]) -> Array:
    out = np.empty(len(items), dtype=object)
    try:
        # One decoding for all is ten times faster than one for each.
        joined = b"\n".join(items).decode().split("\n")
        out[:] = joined if len(joined) == len(items) else [_text(item) for item in items]
    except (TypeError, UnicodeDecodeError):
        out[:] = [_text(item) for item in items]
    return out


def _text(item: object) -> str:
    if not isinstance(item, bytes):
        return str(item)
    try:
        return item.decode()
    except UnicodeDecodeError:  # old files carry a Latin-1 micro sign
        return item.decode("latin-1")


def _factorize(values: Array) -> tuple[NDArray[np.intp], list[Any]]:
    """Codes and distinct values; fixed-width bytes are hashed eight at a time."""
    if values.dtype.kind == "O":
        codes, found = pd.factorize(values)
        return codes, list(found)
    words = -(-values.dtype.itemsize // 8)
    padded = np.ascontiguousarray(values.astype(f"S{8 * words}", copy=False)).view(np.uint64)
    padded = padded.reshape(len(values), words)
    hashed = padded[:, 0].copy()
    for word in range(1, words):
        hashed ^= hashed >> np.uint64(29)
        hashed *= np.uint64(0x9E3779B97F4A7C15)
        hashed += padded[:, word]
    codes, keys = pd.factorize(hashed)
    first = np.empty(len(keys), dtype=np.intp)
    first[codes[::-1]] = np.arange(len(values))[::-1]
    if all(np.array_equal(padded[first, w][codes], padded[:, w]) for w in range(words)):
        return codes, values[first].tolist()
    distinct, codes = np.unique(values, return_inverse=True)  # two values share a hash
    return codes, distinct.tolist()
