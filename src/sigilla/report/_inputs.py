"""What reports are made from: data sets in memory or in files, each with what is asked of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
from anndata import AnnData

from sigilla import io
from sigilla.errors import DataError, FileError, listed, unknown_name
from sigilla.report import _digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sigilla.report._request import Request

Source = AnnData | str | Path
SUFFIXES = (".h5ad", ".gctx", ".gct")
# Arguments of io.read_lincs that name files.
TABLES = ("sig_info", "gene_info", "pert_info", "cell_info", "classes")


@dataclass(frozen=True, slots=True)
class File:
    """A file of signatures; ``release`` holds arguments of :func:`sigilla.io.read_lincs`."""

    path: Path
    release: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> AnnData:
        """Everything but the matrix in memory, where the format allows it."""
        if not self.path.is_file():
            raise FileError(f"inputs={str(self.path)!r} does not exist")
        if self.release:
            return io.read_lincs(self.path, backed=True, **self.release)
        if self.path.suffix == ".gctx":
            return io.read_gctx(self.path, backed=True)
        if self.path.suffix == ".gct":
            return io.read_gct(self.path)
        if not h5py.is_hdf5(self.path):
            raise FileError(
                f"inputs={str(self.path)!r} is no .h5ad file, whatever its name says; write one "
                "with adata.write_h5ad"
            )
        with self.whole():
            return ad.read_h5ad(self.path, backed="r")

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What HDF5 says of a damaged file, in words that say what to do."""
        try:
            yield
        except (DataError, FileError):
            raise
        except BlockingIOError as error:
            raise FileError(
                f"inputs={str(self.path)!r} is being written by another program; try again when "
                "that is done"
            ) from error
        except (OSError, KeyError, ValueError) as error:
            raise FileError(
                f"inputs={str(self.path)!r} cannot be read as {self.path.suffix}: it is cut off, "
                "damaged or written by another program; copy it again, or write it anew"
            ) from error

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the file and of the tables of its release, by name."""
        files = {self.path.name: ("inputs", self.path)}
        for name in TABLES:
            given = self.release.get(name, ())
            for path in [given] if isinstance(given, str | Path) else given:
                shown = f"{name}: {Path(path).name}"
                while shown in files:  # another folder's file of the same name
                    shown += " (again)"
                files[shown] = (name, Path(path))
        for argument, path in files.values():
            if not path.is_file():
                raise FileError(f"{argument}={str(path)!r} does not exist")
        return {name: _digest.of_file(path) for name, (_, path) in files.items()}

    def absolute(self) -> File:
        """The same for a process with another working folder."""
        tables = {
            name: [Path(path).absolute() for path in given]
            if isinstance(given, list | tuple)
            else Path(given).absolute()
            for name, given in self.release.items()
            if name in TABLES
        }
        return File(self.path.absolute(), {**self.release, **tables})

    def described(self) -> dict[str, Any]:
        """The release's arguments as JSON; files are known by their checksums alone."""
        rest = {name: value for name, value in self.release.items() if name not in TABLES}
        return _digest.plain(rest)


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set: what to call it, where it is, and what to make of it."""

    name: str
    source: AnnData | File
    request: Request

    @contextmanager
    def opened(self) -> Iterator[AnnData]:
        """Observations and results; the matrix may still be on disk."""
        if isinstance(self.source, AnnData):
            yield self.source
            return
        adata = self.source.open()
        try:
            yield adata
        finally:
            if adata.isbacked:
                adata.file.close()

    def read(self, rows: NDArray[np.bool_] | None = None) -> AnnData:
        """The AnnData in memory, whole or the observations asked for."""
        if isinstance(self.source, AnnData) and not self.source.isbacked:
            return self.source if rows is None else self.source[rows].to_memory()
        told = self.source.whole() if isinstance(self.source, File) else nullcontext()
        with self.opened() as adata, told:
            return (adata if rows is None else adata[rows]).to_memory()

    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file, or of the content of an AnnData in memory."""
        if isinstance(self.source, AnnData):
            return {"content": _digest.of_value(self.source)}
        return self.source.checksums()

    @property
    def folder(self) -> str:
        """Its name as a folder."""
        return folder_name(self.name)


def folder_name(name: str) -> str:
    """A name as a folder: letters of any script, digits, dots and dashes.

    Examples
    --------
    >>> folder_name("mTOR/PI3K <inhibitors>")
    'mTOR-PI3K-inhibitors'
    """
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80]
    # File systems count bytes, of which a letter may have four.
    return safe.encode()[:200].decode(errors="ignore") or "data"


def data_sets(
    inputs: Source | Sequence[Source] | Mapping[str, Source],
    request: Request,
    release: Mapping[str, Any],
) -> list[DataSet]:
    """The data sets of a call, each with a name of its own; no file is opened.

    Raises
    ------
    FileError
        A file of a kind that reports are not made from.
    DataError
        No input, two data sets whose names make the same folder, or tables without a GCTX file.
    """
    _require_release(release)
    if isinstance(inputs, Mapping):
        named = {str(name): _checked(source, release) for name, source in inputs.items()}
        found = [DataSet(name, source, request) for name, source in named.items()]
    else:
        several = isinstance(inputs, Sequence) and not isinstance(inputs, str)
        sources = [_checked(source, release) for source in (inputs if several else [inputs])]
        found = [DataSet(_name(s, i), s, request) for i, s in enumerate(sources, start=1)]
    if not found:
        raise DataError("inputs is empty; give an AnnData or the path of an .h5ad file")
    if release and not any(isinstance(d.source, File) and d.source.release for d in found):
        raise DataError(f"{listed(release)} go with a .gctx file, and none is among the inputs")
    require_distinct(found)
    return found


INDEX_FILES = ("index.html", "index.csv")


def require_distinct(found: Sequence[DataSet]) -> None:
    """Refuse two data sets that would share a folder."""
    folders = [d.folder.casefold() for d in found]
    for data_set, folder in zip(found, folders, strict=True):
        if folder in INDEX_FILES:
            raise DataError(
                f"inputs holds {data_set.name!r}, which is a file of the index; name it otherwise"
            )
        if folders.count(folder) > 1:
            raise DataError(
                f"inputs holds {data_set.name!r} and another of the same name; give each a "
                "name of its own, as the key of a dict or of a table in the job file"
            )


def file_of(path: Path, release: Mapping[str, Any]) -> File:
    """A file of a kind that reports are made from; ``release`` counts for GCTX alone."""
    if path.suffix not in SUFFIXES:
        raise FileError(
            f"inputs={str(path)!r}: the suffix must be one of {listed(SUFFIXES)}; read other "
            f"files with sigilla.io and give the AnnData"
        )
    return File(path, release if path.suffix == ".gctx" else {})


def _require_release(release: Mapping[str, Any]) -> None:
    known = [n for n in inspect.signature(io.read_lincs).parameters if n not in {"gctx", "backed"}]
    for name, value in release.items():
        if name not in known:
            raise TypeError(unknown_name("release", name, known))
        if name in TABLES and not isinstance(value, str | Path | list | tuple):
            raise TypeError(f"release[{name!r}] is a {type(value).__name__}; give the file's path")


def _checked(source: Source, release: Mapping[str, Any]) -> AnnData | File:
    if isinstance(source, AnnData):
        return source
    if not isinstance(source, str | Path):
        raise TypeError(f"inputs={source!r} must be an AnnData or a path")
    return file_of(Path(source), release)


def _name(source: AnnData | File, number: int) -> str:
    return f"data set {number}" if isinstance(source, AnnData) else source.path.stem
