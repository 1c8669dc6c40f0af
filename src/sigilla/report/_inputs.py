"""What a report is made from: where it came from, its checksum, and the AnnData itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from sigilla.errors import DataError, FileError

Source = AnnData | str | Path


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set: what to call it, and an AnnData or the file that holds one."""

    name: str
    source: AnnData | Path

    def read(self) -> AnnData:
        """The AnnData in memory; a file is read whole."""
        if isinstance(self.source, AnnData):
            return self.source.to_memory() if self.source.isbacked else self.source
        from anndata import read_h5ad

        try:
            return read_h5ad(self.source)
        except (OSError, KeyError, ValueError) as error:
            raise FileError(
                f"inputs={str(self.source)!r} is not a readable .h5ad file: {error}"
            ) from error

    def sha256(self) -> str | None:
        """Checksum of the file; ``None`` for an AnnData in memory."""
        if isinstance(self.source, AnnData):
            return None
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def folder(self) -> str:
        """Its name as a folder: letters of any script, digits, dots and dashes."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.")[:80] or "data"


def data_sets(inputs: Source | Sequence[Source] | Mapping[str, Source]) -> list[DataSet]:
    """The data sets of a call, each with a name of its own; files are only looked for.

    Raises
    ------
    FileError
        There is no such file, or it is no ``.h5ad``.
    DataError
        No input, or two data sets whose names make the same folder.
    """
    if isinstance(inputs, Mapping):
        found = [DataSet(str(name), _checked(source)) for name, source in inputs.items()]
    else:
        several = isinstance(inputs, Sequence) and not isinstance(inputs, str)
        found = [_named(s, i) for i, s in enumerate(inputs if several else [inputs], start=1)]
    if not found:
        raise DataError("inputs is empty; give an AnnData or the path of an .h5ad file")
    folders = [d.folder.casefold() for d in found]
    for data_set, folder in zip(found, folders, strict=True):
        if folders.count(folder) > 1:
            raise DataError(
                f"inputs holds {data_set.name!r} and another of the same name; name them with "
                "a dict: {'first': ..., 'second': ...}"
            )
    return found


def _named(source: Source, number: int) -> DataSet:
    checked = _checked(source)
    name = f"data set {number}" if isinstance(checked, AnnData) else checked.stem
    return DataSet(name, checked)


def _checked(source: Source) -> AnnData | Path:
    if isinstance(source, AnnData):
        return source
    if not isinstance(source, str | Path):
        raise TypeError(f"inputs={source!r} must be an AnnData or a path")
    path = Path(source)
    if not path.is_file():
        raise FileError(f"inputs={str(source)!r} does not exist")
    if path.suffix != ".h5ad":
        raise FileError(
            f"inputs={str(source)!r} is no .h5ad file; read it with sigilla.io and give the "
            f"AnnData, or convert it first: sigilla convert {path.name} {path.stem}.h5ad"
        )
    return path
