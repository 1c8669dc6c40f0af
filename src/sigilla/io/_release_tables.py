"""The tables of a LINCS release: any of .txt, .tsv, .csv, packed or not, with any separator."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla.errors import DataError, FileError, listed
from sigilla.io._metadata import tidy
from sigilla.io._vocabulary import TEXT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

NULLS = frozenset(["", "-666", "-666.0", "-666.000000", "NA", "NaN", "nan", "#N/A"])


def load_table(source: str | Path | pd.DataFrame, argument: str) -> pd.DataFrame:
    """A table from a path or a DataFrame: ids as text, -666 as missing, a plain row index."""
    if isinstance(source, pd.DataFrame):
        table = source.reset_index() if source.index.name else source.reset_index(drop=True)
        return pd.DataFrame({str(name): _tidy_series(table[name]) for name in table.columns})
    raw = read_text_table(source, argument)
    return pd.DataFrame({name: _tidy_text(name, raw[name]) for name in raw.columns})


def read_text_table(source: str | Path, argument: str) -> pd.DataFrame:
    """A text table as it stands, every field a str; separator and packing are recognised."""
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileError(f"{argument}={str(path)!r} does not exist or is not a file.")
    try:
        head = _first_line(path)
        separator = max("\t,;", key=head.count)
        plain = separator == "\t" and '"' not in head  # GEO's files hold lone quotation marks
        return _read(path, separator, csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise FileError(f"{argument}={str(path)!r} is not a readable table: {error}") from error


def _read(path: Path, separator: str, quoting: Any) -> pd.DataFrame:
    for encoding in ("utf-8", "latin-1"):  # older releases write their micro signs in Latin-1
        try:
            return pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                quoting=quoting,
                encoding=encoding,
                compression="gzip" if _is_packed(path) else None,
                low_memory=False,
            )
        except UnicodeDecodeError:
            continue
    raise ValueError("its encoding is neither UTF-8 nor Latin-1")  # pragma: no cover


def open_maybe_packed(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked if it is gzip, whatever its name."""
    opener: Any = gzip.open if _is_packed(path) else Path.open
    file: IO[bytes] = opener(path, "rb")
    return file


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _first_line(path: Path) -> str:
    with open_maybe_packed(path) as file:
        line = file.readline(2**20)
    if not line.strip() or b"\0" in line:
        raise ValueError("its first line is empty or binary")
    return line.decode("utf-8", errors="replace")


def _tidy_text(name: str, column: pd.Series) -> Array:
    values = column.to_numpy(dtype=object)
    if name.lower() in TEXT_COLUMNS:
        return as_text(column.where(~column.isin(NULLS)))
    return tidy(values, NULLS)


def _tidy_series(column: pd.Series) -> Array:
    if str(column.name).lower() in TEXT_COLUMNS:
        return as_text(column.where(~column.isin([*NULLS, -666])))
    if column.dtype == object or isinstance(column.dtype, (pd.CategoricalDtype, pd.StringDtype)):
        values = column.astype(object).where(column.notna(), "-666").to_numpy(dtype=object)
        return tidy(values, NULLS) if all(isinstance(v, str) for v in values) else values
    return np.asarray(column.where(~column.isin([-666])))


def as_text(column: pd.Series) -> Array:
    """Ids as str objects, missing ones as NaN; 780.0, as a column with gaps holds it, is '780'."""
    if column.dtype.kind == "f":
        column = column.map(lambda v: str(int(v)) if v == v // 1 else str(v), na_action="ignore")
    return column.astype(object).map(str, na_action="ignore").to_numpy(dtype=object)


def best_key(table: pd.DataFrame, names: Sequence[str], ids: pd.Index) -> tuple[str | None, int]:
    """The column among ``names`` that holds most of ``ids``, and how many it holds."""
    best: tuple[str | None, int] = (None, 0)
    for name in names:
        if name in table:
            hits = int(ids.isin(pd.Index(as_text(table[name]))).sum())
            if hits > best[1]:
                best = (name, hits)
    return best


def fill_from(frame: pd.DataFrame, table: pd.DataFrame, at: NDArray[np.intp]) -> pd.DataFrame:
    """Columns of ``table`` at the rows ``at`` (-1: none): added, or used to fill gaps."""
    rows = table.reset_index(drop=True).reindex(at)  # -1 is no row of it, hence missing
    rows.index = frame.index
    columns: dict[str, pd.Series] = {name: frame[name] for name in frame.columns}
    for name, new in rows.items():
        old = columns.get(str(name))
        if old is None:
            columns[str(name)] = new
        elif old.isna().any():
            columns[str(name)] = old.astype(object).where(old.notna(), new.astype(object))
    return storable(pd.DataFrame(columns, index=frame.index))


def storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Object columns as numbers, nullable booleans or text: kinds that .h5ad and .zarr take."""
    for name in [name for name in frame.columns if frame[name].dtype == object]:
        column = frame[name].infer_objects()
        if column.dtype == object:
            kind = pd.api.types.infer_dtype(column, skipna=True)
            if kind == "boolean":
                column = column.astype("boolean")
            elif kind != "string":
                column = column.map(str, na_action="ignore")
        frame[name] = column if column.notna().any() else np.nan
    return frame


def one_row_each(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """One row for each key: first known values; every mechanism and target, joined with '|'."""
    table = table[table[key].notna()]
    if table[key].is_unique:
        return table.reset_index(drop=True)
    grouped = table.groupby(key, sort=False)
    out = grouped.first()
    for name in {"moa", "target"} & set(table.columns):
        out[name] = grouped[name].agg(lambda column: "|".join(dict.fromkeys(column.dropna())))
        out[name] = out[name].where(out[name] != "")
    return out.reset_index()


def require_key(
    table: pd.DataFrame, names: Sequence[str], ids: pd.Index, argument: str, what: str
) -> str:
    """The key column of a release table, or a DataError that shows both sides' ids."""
    key, hits = best_key(table, names, ids)
    if key is None or not hits:
        held = next((name for name in names if name in table), None)
        seen = f"{held!r} holds {listed(table[held].head(3))}" if held else "it has none of them"
        raise DataError(
            f"{argument} shares no {what} with the GCTX file, which has {listed(ids[:3])}. "
            f"Looked in the columns {listed(names)}; {seen}. Columns: {listed(table.columns)}."
        )
    return key
