"""Checksums of what a report is made from: the same content, the same digest, in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

_PARTS = ("X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns")


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_value(value: Any) -> str:
    """SHA-256 of an AnnData, an array, a table, or a nest of them.

    Examples
    --------
    >>> import numpy as np
    >>> of_value({"a": np.arange(3)}) == of_value({"a": np.arange(3)})
    True
    >>> of_value([1, 2]) == of_value([12])
    False
    """
    found = hashlib.sha256()
    for part in _bytes(value):
        # With its length, so that parts cannot flow into one another.
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def plain(value: Any) -> Any:
    """The value as JSON can hold it: plain as it is, an array or table as its digest."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(each) for each in ordered]
    return str(value) if isinstance(value, Path) else f"sha256:{of_value(value)}"


def _bytes(value: Any) -> Iterator[bytes]:
    # A view of an AnnData holds other types than the AnnData itself; only the kind counts.
    for kind, parts in _KINDS:
        if isinstance(value, kind):
            yield from parts(value)
            return
    if sparse.issparse(value):
        yield from _sparse(value)
    elif hasattr(value, "compute"):
        yield from _bytes(value.compute())
    elif hasattr(value, "to_memory"):
        yield from _bytes(value.to_memory())
    else:
        yield repr(value).encode()


def _anndata(value: AnnData) -> Iterator[bytes]:
    yield from _mapping({part: getattr(value, part) for part in _PARTS})


def _mapping(value: Mapping[Any, Any]) -> Iterator[bytes]:
    yield b"mapping"
    for name in sorted(value, key=str):
        yield str(name).encode()
        yield from _bytes(value[name])


def _list(value: list[Any] | tuple[Any, ...]) -> Iterator[bytes]:
    yield b"list"
    for each in value:
        yield from _bytes(each)


def _table(value: pd.DataFrame) -> Iterator[bytes]:
    yield b"table"
    yield from _column(value.index)
    for number, name in enumerate(value.columns):
        yield str(name).encode()
        yield from _column(value.iloc[:, number])


def _sparse(value: Any) -> Iterator[bytes]:
    rows = sparse.csr_array(value)
    yield f"sparse{rows.shape}".encode()
    for array in (rows.indptr, rows.indices, rows.data):
        yield from _array(array)


def _array(value: np.ndarray) -> Iterator[bytes]:
    yield f"{value.dtype}{value.shape}".encode()
    if value.dtype.names:
        for name in value.dtype.names:
            yield from _array(value[name])
    elif value.dtype.hasobject:
        yield pd.util.hash_array(value.ravel()).tobytes()
    else:
        yield np.ascontiguousarray(value).tobytes()


def _column(value: pd.Series | pd.Index) -> Iterator[bytes]:
    yield str(value.dtype).encode()
    if isinstance(value.dtype, pd.CategoricalDtype):
        # The order of the categories is the order of the classes.
        yield from _array(np.asarray(value.dtype.categories))
        yield from _array(pd.Categorical(value).codes)
    else:
        yield from _array(np.asarray(value))


_KINDS = (
    (AnnData, _anndata),
    (Mapping, _mapping),
    (list | tuple, _list),
    (pd.DataFrame, _table),
    (pd.Series | pd.Index, _column),
    (np.ndarray, _array),
)
