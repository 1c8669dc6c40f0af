"""Text matrices as papers deposit them, with or without names, in any separator."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anndata as ad
import numpy as np
import pandas as pd

from sigilla.errors import DataError, FileError, unknown_name
from sigilla.io._labels import attach_labels
from sigilla.io._release_tables import open_maybe_packed
from sigilla.logging import logger

if TYPE_CHECKING:
    from sigilla.io._labels import Labels

MISSING = ["NA", "NaN", "nan", "null", "NULL", ""]


def read_table(
    path: str | Path,
    *,
    labels: Labels | None = None,
    genes: Literal["rows", "columns"] = "rows",
) -> ad.AnnData:
    r"""Read a text matrix, plain or ``.gz``, as samples x genes.

    The separator (tab, comma, semicolon or blanks), a line of names at the top and a column of
    names at the left are recognised; R's header, one field shorter than the lines under it, too.
    Samples and genes without a name become ``s0, s1, ...`` and ``g0, g1, ...``.

    Parameters
    ----------
    path
        The matrix.
    labels
        The known class of each sample: a file (one label to a line, all on one line, or a table
        that names the samples), a DataFrame, Series, mapping, or a sequence in the order of the
        samples.
    genes
        Whether the file has genes in its ``"rows"``, as most do, or ``"columns"``.

    Returns
    -------
    AnnData
        ``X`` float32; ``obs["label"]`` where labels were given.

    Raises
    ------
    FileError
        The file is missing or not a table of text.
    DataError
        A value is not a number, or the labels do not fit.

    Examples
    --------
    >>> import tempfile, pathlib, sigilla as sg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "small.csv"
    ...     _ = path.write_text("gene,a,b\nTP53,1,2\nMYC,3,4\n")
    ...     sg.io.read_table(path, labels=["tumour", "normal"]).to_df()
       TP53  MYC
    a   1.0  3.0
    b   2.0  4.0
    """
    if genes not in {"rows", "columns"}:
        raise DataError(unknown_name("genes", genes, ("rows", "columns")))
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileError(f"path={str(path)!r} does not exist or is not a file.")
    try:
        values, left, top = _parse(path, _recognise(path))
    except (
        OSError,
        EOFError,
        zlib.error,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise FileError(f"path={str(path)!r} is not a readable table: {error}") from error
    gene_names, sample_names = (left, top) if genes == "rows" else (top, left)
    x = np.ascontiguousarray(values.T if genes == "rows" else values)
    adata = ad.AnnData(
        x,
        obs=pd.DataFrame(index=_names(sample_names, "s", x.shape[0])),
        var=pd.DataFrame(index=_names(gene_names, "g", x.shape[1])),
    )
    attach_labels(adata, labels)
    return adata


@dataclass(frozen=True)
class _Form:
    """How a text matrix is laid out."""

    separator: str
    top: list[str] | None  # the names above the columns
    named_rows: bool


def _recognise(path: Path) -> _Form:
    with open_maybe_packed(path) as file:
        first, second = (file.readline().decode().rstrip("\r\n") for _ in range(2))
    if not first.strip() or "\0" in first:
        raise FileError(f"path={str(path)!r} is empty or not text.")
    separator = next((mark for mark in "\t,;" if mark in first), r"\s+")
    head, line = _fields(first, separator), _fields(second or first, separator)
    shorter = len(head) == len(line) - 1
    named_top = shorter or any(not _is_number(field) for field in head[1:]) or not head[0]
    named_rows = shorter or not _is_number(line[0]) or (named_top and not head[0])
    if not named_top:
        return _Form(separator, None, named_rows)
    return _Form(separator, head if shorter or not named_rows else head[1:], named_rows)


def _fields(line: str, separator: str) -> list[str]:
    parts = re.split(separator, line.strip() if separator == r"\s+" else line)
    return [part.strip().strip("\"'") for part in parts]


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return field in MISSING[:-1]
    return True


def _parse(path: Path, form: _Form) -> tuple[Any, list[str] | None, list[str] | None]:
    options: dict[str, Any] = {"dtype": {0: str}} if form.named_rows else {}
    with open_maybe_packed(path) as file:
        frame = pd.read_csv(
            file,
            sep=form.separator,
            header=None,
            skiprows=0 if form.top is None else 1,
            na_values=MISSING,
            keep_default_na=False,
            low_memory=False,
            **options,
        )
    left = None
    if form.named_rows:
        left, frame = frame[0].astype(str).tolist(), frame.iloc[:, 1:]
    if form.top is not None and len(form.top) != frame.shape[1]:
        raise FileError(
            f"path={str(path)!r} has {len(form.top)} names above {frame.shape[1]} columns."
        )
    for number, name in enumerate(frame.columns):
        if frame[name].dtype == object:
            bad = pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"path={str(path)!r} holds {frame[name].iloc[row]!r}, which is no number, in row "
                f"{row} and column {number} of its values (counted from 0)."
            )
    return frame.to_numpy(dtype=np.float32), left, form.top


def _names(names: list[str] | None, letter: str, count: int) -> pd.Index:
    if names is None:
        return pd.Index([f"{letter}{i}" for i in range(count)])
    index = pd.Index(names, dtype=object)
    if not index.is_unique:
        logger.warning("%d names are repeated and were numbered", index.duplicated().sum())
        index = ad.utils.make_index_unique(index)
    return index
