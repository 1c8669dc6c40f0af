"""Known classes of observations, from a file, a mapping or a sequence, into ``obs["label"]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla.errors import DataError, FileError, listed
from sigilla.io._release_tables import NULLS, open_maybe_packed, read_text_table
from sigilla.labels import UNLABELLED_TEXTS
from sigilla.logging import logger

if TYPE_CHECKING:
    import anndata as ad

    Labels = str | Path | pd.DataFrame | pd.Series | Mapping[str, object] | Iterable[object]

LABEL_COLUMNS = ("label", "class", "cell_type", "celltype", "cluster", "group", "type")


def attach_labels(adata: ad.AnnData, labels: Labels | None) -> None:
    """Set ``obs["label"]``; by name where the labels carry names, else by position."""
    if labels is None:
        return
    if isinstance(labels, str) and labels in adata.obs:
        found = adata.obs[labels].to_numpy(dtype=object)
    else:
        found = _values(labels, adata.obs_names)
    # Text has no other way to say that a label is missing; tables of releases say it alike.
    missing = pd.isna(found) | pd.Series(found).isin(UNLABELLED_TEXTS | NULLS).to_numpy()
    texts = np.array([None if m else str(v) for v, m in zip(found, missing, strict=True)], object)
    if missing.all():
        raise DataError(
            f"labels: none of them belongs to an observation; names here are "
            f"{listed(adata.obs_names[:3])}."
        )
    if missing.any():
        logger.warning("labels: %d of %d observations have none", missing.sum(), len(missing))
    adata.obs["label"] = pd.Categorical(texts)


def _values(labels: Any, names: pd.Index) -> Any:
    if isinstance(labels, (str, Path)):
        labels = _from_file(Path(labels).expanduser(), len(names))
    if isinstance(labels, pd.DataFrame):
        labels = _from_frame(labels, names)
    if isinstance(labels, Mapping):
        labels = pd.Series(labels, dtype=object)
    if isinstance(labels, pd.Series) and names.isin(labels.index.astype(str)).any():
        if not labels.index.is_unique:
            repeated = labels.index[labels.index.duplicated()].unique()
            raise DataError(f"labels names {listed(repeated)} more than once.")
        return labels.set_axis(labels.index.astype(str)).reindex(names).to_numpy(dtype=object)
    values = list(labels)
    if len(values) != len(names):
        raise DataError(
            f"labels has {len(values)} entries for {len(names)} observations and no names to go "
            f"by; give one for each, or name them as the observations ({listed(names[:3])})."
        )
    return np.array(values, dtype=object)


def _from_file(path: Path, n: int) -> list[str] | pd.DataFrame:
    """Labels one to a line, or all on one line, or a table that names the observations."""
    if not path.is_file():
        raise FileError(f"labels={str(path)!r} is neither a file nor a column of obs.")
    try:
        with open_maybe_packed(path) as file:
            lines = [line.strip() for line in file.read().decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise FileError(f"labels={str(path)!r} is not text: {error}") from error
    if len(lines) == 1 and n > 1:
        return [item.strip("\"'") for item in re.split(r"[\t,;\s]+", lines[0])]
    if not any(re.search(r"[\t,;]", line) for line in lines) and len(lines) in {n, n + 1}:
        return [line.strip("\"'") for line in lines[len(lines) - n :]]
    return read_text_table(path, "labels")


def _from_frame(table: pd.DataFrame, names: pd.Index) -> pd.Series:
    if not names.isin(table.index.astype(str)).any():
        keys = [name for name in table.columns if names.isin(table[name].astype(str)).any()]
        table = table.set_index(keys[0]) if keys else table
    known = {str(name).lower(): name for name in table.columns}
    column = next((known[name] for name in LABEL_COLUMNS if name in known), None)
    if column is None and len(table.columns) == 1:
        column = table.columns[0]
    if column is None:
        raise DataError(
            f"labels has the columns {listed(table.columns)}; name the one with the classes "
            "'label', or pass that column."
        )
    chosen: pd.Series = table[column]
    return chosen
