"""The metadata of one axis of a GCTX file, its columns read on any threads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import pandas as pd

from sigilla.errors import FileError
from sigilla.io._metadata import tidy

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from sigilla.io._ids import Ids
    from sigilla.io._tasks import Task

    Index = NDArray[np.intp]


@dataclass(frozen=True)
class Pending:
    """A frame that is complete once all of its tasks have been run, in any order."""

    tasks: list[Task]
    frame: Callable[[], pd.DataFrame]


def node(group: h5py.Group, name: str) -> Any:
    """The group or dataset of this name; None where it is but a link to what is not there."""
    try:
        return group[name]
    except KeyError as error:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise OSError(f"{name!r} has a damaged header") from error
        return None


def stored(group: h5py.Group, ids: Ids, at: Index | None) -> Pending:
    """What the file says at these positions; None stands for all."""
    names = [name for name in group if name != "id"]
    found: dict[str | None, Any] = {}

    def name_rows() -> None:
        found[None] = ids.names(at)

    def read(name: str) -> None:
        column = node(group, name)
        if not isinstance(column, h5py.Dataset):
            return
        if column.shape != (len(ids),):
            raise FileError(
                f"{group.file.filename!r}: metadata column {name!r} has shape {column.shape}, but "
                f"there are {len(ids)} ids."
            )
        if strange := what_is_strange(column):
            raise FileError(
                f"{group.file.filename!r}: metadata column {name!r} holds {strange}, neither "
                "real numbers nor text; write the file again without it."
            )
        found[name] = tidy(column, at=at)

    def frame() -> pd.DataFrame:
        columns = {name: found[name] for name in names if name in found}
        return pd.DataFrame(columns, index=found[None], copy=False)

    return Pending([name_rows, *(partial(read, name) for name in names)], frame)


def what_is_strange(dataset: h5py.Dataset) -> str:
    """What it holds that is neither real numbers nor text; empty where it is one of these."""
    try:
        kind = dataset.dtype
    except TypeError:  # HDF5's times and odd integers
        return "a type that numpy lacks"
    if kind.kind in "iufb" or h5py.check_string_dtype(kind):
        return ""
    if h5py.check_ref_dtype(kind):
        return "references"
    return "arrays" if h5py.check_vlen_dtype(kind) else str(kind)


def given(frame: pd.DataFrame, at: Index | None) -> Pending:
    """These rows of a frame, without categories that none of them has."""

    def chosen() -> pd.DataFrame:
        if at is None:
            return frame
        rows = frame.iloc[at].copy()
        for name, column in rows.items():
            if isinstance(column.dtype, pd.CategoricalDtype):
                rows[name] = column.cat.remove_unused_categories()
        return rows

    return Pending([], chosen)
