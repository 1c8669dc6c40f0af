"""A job file: what to report on, night after night, in TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigilla.errors import DataError, FileError, listed, unknown_name
from sigilla.report._inputs import TABLES, DataSet, file_of, require_distinct
from sigilla.report._request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS = (str, list)
# What a job file may say, of which type; arguments of the report, then of io.read_lincs.
_REQUEST = {
    "key": str,
    "label": str,
    "layer": str,
    "space": str,
    "per": str,
    "n_genes": int,
    "n_splits": int,
    "n_boot": int,
    "n_perm": int,
    "random_state": int,
    "options": dict,
}
_RELEASE = dict.fromkeys(TABLES, str) | {
    "classes": _TEXTS,
    "landmarks": bool,
    "cell_lines": _TEXTS,
    "exclude_perts": _TEXTS,
}
_SHARED = _REQUEST | _RELEASE
_JOB = {"out": str, **_SHARED, "data": dict}
_DATA = {"input": str, "title": str, **_SHARED}
_KINDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
    list: "a list of texts",
}


@dataclass(frozen=True, slots=True)
class Job:
    """The data sets of a job file, and the folder that it names."""

    data_sets: list[DataSet]
    out: Path | None


def read_job(path: Path, **common: Any) -> Job:
    """Read a job file; its paths are relative to its own folder. ``common`` goes to each Request.

    Raises
    ------
    FileError
        The file is missing or no TOML, or an input is of a kind that reports are not made from.
    DataError
        A key that is not known or of the wrong type, or no data set.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileError(f"inputs={str(path)!r} does not exist") from error
    except (OSError, ValueError) as error:
        raise FileError(f"inputs={str(path)!r} is no job file: {error}") from error
    top = f"{path.name}, top level"
    _check(top, told, _JOB)
    out, tables = told.pop("out", None), told.pop("data", {})
    _request(top, told, common)
    if not tables:
        raise DataError(f'{path.name} names no data set; add one: [data."name"], input = "..."')
    data_sets = [_data_set(path, name, table, told, common) for name, table in tables.items()]
    _require_used(top, told, tables, data_sets)
    require_distinct(data_sets)
    return Job(data_sets, None if out is None else path.parent / out)


def _data_set(
    path: Path, name: str, table: Any, shared: Mapping[str, Any], common: Mapping[str, Any]
) -> DataSet:
    where = f"{path.name}, [data.{name!r}]"
    if not isinstance(table, dict):
        raise DataError(f'{path.name}: data is a table of tables; write [data."name"]')
    _check(where, table, _DATA)
    if "input" not in table:
        raise DataError(f'{where} has no input; add input = "signatures.h5ad"')
    given = {**shared, **table}
    given["options"] = {**shared.get("options", {}), **table.get("options", {})}
    release = {name: _located(path, name, given[name]) for name in _RELEASE if name in given}
    try:
        source = file_of(path.parent / Path(table["input"]).expanduser(), release)
    except FileError as error:
        raise FileError(f"{where}: {error}") from error
    if not source.release and set(table) & set(_RELEASE):
        names = ", ".join(sorted(set(table) & set(_RELEASE)))
        raise DataError(f"{where}: {names} go with a .gctx file, and input is none")
    return DataSet(name, source, _request(where, given, common))


def _request(where: str, given: Mapping[str, Any], common: Mapping[str, Any]) -> Request:
    request = {name: given[name] for name in ("title", *_REQUEST) if name in given}
    if "label" in request:
        request["label_key"] = request.pop("label")
    try:
        return Request(**request, **common)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: {error}") from error


def _require_used(
    where: str,
    shared: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Any]],
    data_sets: Sequence[DataSet],
) -> None:
    """Refuse what goes with GCTX files and reaches none."""
    releases = [tables[d.name] for d in data_sets if d.source.path.suffix == ".gctx"]
    idle = [n for n in _RELEASE if n in shared and all(n in table for table in releases)]
    if idle:
        why = "each .gctx input says its own" if releases else "none is a .gctx file"
        raise DataError(
            f"{where}: no data set takes {listed(idle)} from here, as {why}; leave it out"
        )


def _check(where: str, told: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if name not in known:
            raise DataError(f"{where}: {unknown_name('key', name, known)}")
        kinds = known[name] if isinstance(known[name], tuple) else (known[name],)
        texts = not isinstance(value, list) or all(isinstance(each, str) for each in value)
        if type(value) not in kinds or not texts:
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            raise DataError(f"{where}: {name} = {value!r} must be {wanted}")


def _located(path: Path, name: str, value: Any) -> Any:
    """Files of a release are told relative to the job file."""
    if name not in TABLES:
        return value
    if isinstance(value, list):
        return [path.parent / Path(each).expanduser() for each in value]
    return path.parent / Path(value).expanduser()
