"""What becomes a report of its own: a data set, and each of its cell lines where that is asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

import sigilla
from sigilla.errors import unknown_name
from sigilla.labels import as_text
from sigilla.report._held_out import MIN_SIZE
from sigilla.report._inputs import DataSet, File, folder_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.report._request import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piece:
    """One report: of a data set, or of its observations with ``value`` in ``obs[request.per]``.

    ``skip`` says why it is not to be made, ``error`` why it cannot be.
    """

    data_set: DataSet
    folder: Path
    checksums: Mapping[str, str]
    value: str | None = None
    skip: str = ""
    error: Exception | None = None

    @property
    def name(self) -> str:
        """What to call it on the index."""
        return self.data_set.name if self.value is None else f"{self.data_set.name}, {self.value}"

    @property
    def title(self) -> str:
        """Heading of its page."""
        title = self.data_set.request.title or self.data_set.name
        return title if self.value is None else f"{title}, {self.value}"

    def read(self) -> AnnData:
        """Its observations, in memory."""
        if self.value is None:
            return self.data_set.read()
        with self.data_set.opened() as adata:
            rows = _rows(adata, str(self.data_set.request.per), self.value)
        return self.data_set.read(rows)

    def made_from(self) -> dict[str, Any]:
        """All that decides its content, as JSON: equal if the report would be the same."""
        source = self.data_set.source
        return {
            "sigilla": sigilla.__version__,
            "name": self.name,
            "only": None if self.value is None else {self.data_set.request.per: self.value},
            "checksums": dict(self.checksums),
            "release": source.described() if isinstance(source, File) else {},
            "request": self.data_set.request.described(),
        }

    def portable(self) -> Piece:
        """The same for another process: absolute paths, no more in memory than it needs."""
        source = self.data_set.source
        source = source.absolute() if isinstance(source, File) else self.read()
        data_set = replace(self.data_set, source=source)
        return replace(self, data_set=data_set, folder=self.folder.absolute())


def pieces(data_set: DataSet, folder: Path) -> list[Piece]:
    """The data set itself and, where ``per`` is given, a piece for each value in that column.

    What cannot be read or divided is a piece with an error.
    """
    checksums = attempt(data_set.checksums)
    if isinstance(checksums, Exception):
        return [Piece(data_set, folder, {}, error=checksums)]
    whole = Piece(data_set, folder, checksums)
    per = data_set.request.per
    if per is None:
        return [whole]
    below = folder / folder_name(per)
    parts = attempt(lambda: _parts(whole, per, below))
    if isinstance(parts, OSError):
        return [replace(whole, error=parts)]  # it cannot be read: told once
    if isinstance(parts, Exception):
        return [whole, replace(whole, value=f"each {per}", folder=below, error=parts)]
    return [whole, *parts]


def attempt(work: Callable[[], T]) -> T | Exception:
    """What the work on one piece gives, or the error that it ended with."""
    try:
        return work()
    # Files, tables and fits of strangers fail in ways that no list foresees. One failure must not
    # cost the reports on all other data sets: it is kept, told on the index and by the exit code.
    # An interrupt from the keyboard is no Exception and still ends the job.
    except Exception as error:  # noqa: BLE001 - one bad input must not stop the other reports
        return error


def _parts(whole: Piece, per: str, below: Path) -> list[Piece]:
    with whole.data_set.opened() as adata:
        if per not in adata.obs:
            raise KeyError(unknown_name("per", per, adata.obs.columns))
        values = adata.obs[per].astype("string")
        label, why_not = _label(adata, whole.data_set.request)
    names = sorted(values.dropna().unique())
    folders = _distinct_folders(names)
    parts = []
    for name in names:
        own = label[(values == name).to_numpy(dtype=bool, na_value=False)]
        skip = why_not or _too_little(own, len(names))
        parts.append(replace(whole, value=name, folder=below / folders[name], skip=skip))
    return parts


def _rows(adata: AnnData, per: str, value: str) -> NDArray[np.bool_]:
    return (adata.obs[per].astype("string") == value).to_numpy(dtype=bool, na_value=False)


def _label(adata: AnnData, request: Request) -> tuple[pd.Series, str]:
    """The label of each observation, or why there is none to fit to."""
    name = request.label_key or "pcl"
    if request.key in adata.uns:
        stored = adata.uns[request.key]["params"].get("label_key")
        if stored is None:
            missing = pd.Series(pd.NA, index=adata.obs_names, dtype="string")
            return missing, f"key={request.key!r} was not fitted to labels"
        name = str(stored)
    if name not in adata.obs:
        raise KeyError(unknown_name("label_key", name, adata.obs.columns))
    return as_text(adata.obs[name]), ""


def _too_little(label: pd.Series, n_values: int) -> str:
    if n_values == 1:
        return "all signatures are of this one; see the whole data set"
    size = label.value_counts()
    enough = int((size >= MIN_SIZE).sum())
    if enough >= 2:
        return ""
    return f"{enough} of {int((size > 0).sum())} classes have {MIN_SIZE} signatures; 2 are needed"


def _distinct_folders(names: list[str]) -> dict[str, str]:
    """A folder for each name; where two would share one, the end of their checksum is added."""
    plain = {name: folder_name(name) for name in names}
    taken = [folder.casefold() for folder in plain.values()]
    return {
        name: folder
        if taken.count(folder.casefold()) == 1
        else f"{folder}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for name, folder in plain.items()
    }
