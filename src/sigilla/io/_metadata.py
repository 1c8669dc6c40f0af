"""Metadata columns of GCTX, GCT and GEO tables: bytes decoded, numbers found, -666 made missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla.io._bytes import are_ascii, hashes, same
from sigilla.io._chunks import read_at, read_column, read_pieces, slices

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Index = NDArray[np.intp]

FEW = 2**12  # strings decoded at a time, so that the next bytes reuse the memory of the last
SHORT = 64  # bytes of a string which numpy makes text of faster than Python
MISSING = -666
"""The Connectivity Map's mark of a missing value, as a number or as text."""


def decode(values: Array) -> Array:
    """Ids as str objects: byte strings of fixed or variable length, or numbers."""
    if values.dtype.kind in "SO":
        return _texts(values)
    return values.astype(str).astype(object)


def tidy(
    source: Array | h5py.Dataset,
    nulls: AbstractSet[str] = frozenset({"-666"}),
    at: Index | None = None,
) -> Array:
    """A metadata column as users expect it: text of numbers as numbers, -666 as missing.

    ``nulls`` are the texts that stand for a missing value. With ``at`` only the values at these
    positions are given, of the type that the whole column has. The work is done on the distinct
    values, and equal values become one object: a column of a million short labels costs eight
    megabytes and a twentieth of a second.
    """
    if source.dtype.kind in "SO":
        codes, distinct = _factorize(source if at is None else read_at(source, at))
        found = _tidy_texts(distinct, nulls)
        if at is None or (found.dtype.kind == "O" and len(at)):
            return _spread(found, codes)
        return tidy(source, nulls)[at]  # numbers here may stand beside text elsewhere
    values = read_column(source)
    gaps = values.dtype.kind in "iu" and bool(np.any(values == MISSING))
    some = values if at is None else values[at]
    if gaps:
        return np.where(some == MISSING, np.nan, some)
    if some.dtype.kind == "f" and some.dtype.itemsize < 8:
        # Through the shortest decimal, so that a stored 0.1 is 0.1 and not 0.10000000149.
        some = some.astype(str).astype(np.float64)
    return _missing_as_nan(some)


def _spread(distinct: Array, codes: NDArray[np.integer[Any]]) -> Array:
    """``distinct[codes]``, for which numpy would first make all codes ones of 64 bits."""
    out = np.empty(len(codes), distinct.dtype)
    for block in slices(len(codes)):
        np.take(distinct, codes[block], out=out[block], mode="clip")  # "raise" would copy
    return out


def _tidy_texts(distinct: Array, nulls: AbstractSet[str]) -> Array:
    texts = _texts(distinct)
    if distinct.dtype.kind == "S":  # many bytes are compared in the time of one text
        for null in nulls:
            texts[distinct == null.encode()] = np.nan
    elif not nulls.isdisjoint(texts):
        texts[[text in nulls for text in texts]] = np.nan
    probe = next((text for text in texts if isinstance(text, str) and text), None)
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


def _texts(values: Array) -> Array:
    out = np.empty(len(values), dtype=object)
    short = values.dtype.kind == "S" and 0 < values.dtype.itemsize <= SHORT
    for block in slices(len(values), FEW):
        some = np.ascontiguousarray(values[block])
        if short and are_ascii(some):
            out[block] = some.view(np.uint8).astype(np.uint32).view(f"U{some.dtype.itemsize}")
            continue
        items = some.tolist()
        try:
            out[block] = list(map(bytes.decode, items))
        except (TypeError, UnicodeDecodeError):
            out[block] = [_text(item) for item in items]
    return out


def _text(item: object) -> str:
    if not isinstance(item, bytes):
        return str(item)
    try:
        return item.decode()
    except UnicodeDecodeError:  # old files carry a Latin-1 micro sign
        return item.decode("latin-1")


def _factorize(source: Array | h5py.Dataset) -> tuple[NDArray[np.integer[Any]], Array]:
    """Codes and distinct values, found piece by piece: most columns have few, and little memory."""
    if source.dtype.kind == "O":
        return pd.factorize(read_column(source))
    if not len(source):
        return _factorize_bytes(read_column(source))
    codes, parts = np.empty(len(source), np.int32), []
    for piece, values in read_pieces(source):
        found, distinct = _factorize_bytes(values)
        if len(found) == len(source):
            return found, distinct
        codes[piece] = found
        parts.append((piece, distinct))
    merged, every = _factorize_bytes(np.concatenate([distinct for _, distinct in parts]))
    start = 0
    for piece, distinct in parts:
        codes[piece] = merged[start : start + len(distinct)].take(codes[piece])
        start += len(distinct)
    return codes, every


def _factorize_bytes(values: Array) -> tuple[Index, Array]:
    # A table that has to grow is filled anew; one too large for the cache is slow to fill.
    codes, keys = pd.factorize(hashes(values), size_hint=min(len(values), 2**15))
    one = np.empty(len(keys), dtype=np.intp)
    one[codes] = np.arange(len(values))  # the place of any that are the same
    distinct = values[one]
    if same(values, distinct, codes):
        return codes, distinct
    distinct, codes = np.unique(values, return_inverse=True)  # two values share a hash
    return codes, distinct
