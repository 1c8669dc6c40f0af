"""Perturbagen classes (PCLs, mechanisms of action) joined to signatures by id, then by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sigilla.errors import DataError, listed
from sigilla.io._cmappy import read_gmt
from sigilla.io._release_tables import as_text, load_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    ClassSource = str | Path | pd.DataFrame | Mapping[str, str | Iterable[str]]

ID_COLUMNS = ("pert_id", "brd_id", "broad_id")
NAME_COLUMNS = ("pert_iname", "cmap_name", "pert_name", "name", "compound")
CLASS_COLUMNS = ("pcl", "pcl_name", "pcl_id", "class", "label", "moa", "group", "group_id")
BRD_LENGTH = len("BRD-K12345678")


@dataclass
class Classes:
    """The classes of each perturbagen in the order of their source; the first is its class."""

    mechanisms: bool
    by_id: dict[str, list[str]] = field(default_factory=dict)
    by_name: dict[str, list[str]] = field(default_factory=dict)

    def add(self, pert_id: object, pert_iname: object, text: object) -> None:
        """Note a class, or several with '|' between them, of one perturbagen."""
        names = [name.strip() for name in str(text).split("|")] if isinstance(text, str) else []
        for key, where in ((pert_id, self.by_id), (pert_iname, self.by_name)):
            if not isinstance(key, str):
                continue
            known = where.setdefault(key if where is self.by_id else key.lower(), [])
            known += [name for name in names if name and name not in known]

    def of(self, pert_id: object, pert_iname: object) -> list[str]:
        """By id, by the id without its batch, then by name whatever its case."""
        found: list[str] = []
        if isinstance(pert_id, str):
            found = self.by_id.get(pert_id) or self.by_id.get(_core(pert_id)) or []
        if not found and isinstance(pert_iname, str):
            found = self.by_name.get(pert_iname.lower(), [])
        return found


def _core(pert_id: str) -> str:
    return pert_id[:BRD_LENGTH] if pert_id.startswith("BRD-") else pert_id


def load_classes(source: ClassSource | Sequence[ClassSource]) -> list[Classes]:
    """Classes from tables, GMT files or mappings; earlier sources come first."""
    sources = source if isinstance(source, (list, tuple)) else [source]
    return [_load(one) for one in sources]


def _load(source: Any) -> Classes:
    if isinstance(source, Mapping):
        pairs = [(k, v) for k, given in source.items() for v in _as_list(given)]
    elif not isinstance(source, pd.DataFrame) and Path(source).suffix == ".gmt":
        pairs = [(m, name) for name, members in read_gmt(source).items() for m in members]
    else:
        return _from_table(load_table(source, "classes"))
    classes = Classes(mechanisms=False)
    for pert, name in pairs:
        classes.add(str(pert), str(pert), name)
    return classes


def _as_list(given: str | Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _from_table(table: pd.DataFrame) -> Classes:
    lower = {name.lower(): name for name in table.columns}
    id_column, name_column, class_column = (
        next((lower[name] for name in known if name in lower), None)
        for known in (ID_COLUMNS, NAME_COLUMNS, CLASS_COLUMNS)
    )
    if class_column is None or (id_column is None and name_column is None):
        raise DataError(
            f"classes has the columns {listed(table.columns)}; one of {listed(CLASS_COLUMNS)} and "
            f"one of {listed((*ID_COLUMNS, *NAME_COLUMNS))} are needed. Rename them, or pass a "
            "dict of pert_id or pert_iname to class."
        )
    classes = Classes(mechanisms=class_column.lower() == "moa")
    empty = [None] * len(table)
    ids = as_text(table[id_column]) if id_column else empty
    names = as_text(table[name_column]) if name_column else empty
    for pert_id, pert_iname, text in zip(ids, names, table[class_column], strict=True):
        classes.add(pert_id, pert_iname, text)
    for pert_id, found in list(classes.by_id.items()):  # ids with a batch also serve without it
        classes.by_id.setdefault(_core(pert_id), found)
    return classes
