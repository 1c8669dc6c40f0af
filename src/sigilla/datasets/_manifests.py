"""What is known of each data set: one TOML each, read into records that are checked once."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigilla.errors import DataError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a data set.

    Attributes
    ----------
    name
        Its name in the cache.
    url
        Where it is published; ``None`` if it can only be placed by hand or found in a mirror.
    bytes, checksum
        As published or computed from the published file; ``None`` where nobody has said.
    mirror
        Where it lies relative to the base of a mirror.
    role
        What the data set's loader uses it for; ``None`` for files that it does not read.
    repacked
        Checksum of the same content packed by another gzip, as a mirror may hold it.
    checksum_source
        Who published the checksum, where it was not computed.
    """

    name: str
    url: str | None
    bytes: int | None
    checksum: str | None
    mirror: str
    role: str | None = None
    repacked: str | None = None
    checksum_source: str | None = None

    def __post_init__(self) -> None:
        for value in self.checksums:
            if not _CHECKSUM.fullmatch(value):
                raise DataError(f"checksum={value!r} of {self.name} is not algorithm:hex digest")

    @property
    def checksums(self) -> tuple[str, ...]:
        """All checksums that the file may have; none where it is unknown."""
        return tuple(c for c in (self.checksum, self.repacked) if c is not None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One data set: what it is, whose it is, which files it has and what reads them.

    ``converted`` is an ``.h5ad`` or table made from the files, which only a mirror can hold;
    ``read`` are options of the loader.
    """

    name: str
    title: str
    licence: str
    accession: str
    homepage: str
    citation: str
    loader: str
    label: str
    files: tuple[DataFile, ...]
    notes: str = ""
    n_obs: int | None = None
    n_vars: int | None = None
    n_classes: int | None = None
    converted: DataFile | None = None
    read: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needed(self) -> tuple[DataFile, ...]:
        """The files that the loader reads."""
        return tuple(file for file in self.files if file.role is not None)


def _file(entry: Mapping[str, Any]) -> DataFile:
    known = {k: None if v in {"unknown", "none"} else v for k, v in entry.items()}
    return DataFile(**known)


def read_manifest(path: Path) -> Manifest:
    """A manifest from its TOML file; ``"unknown"`` in a file's entry becomes ``None``."""
    with path.open("rb") as stream:
        content = tomllib.load(stream)
    files = tuple(_file(entry) for entry in content.pop("files", ()))
    converted = content.pop("converted", None)
    return Manifest(**content, files=files, converted=converted and _file(converted))


def _folder() -> Path:
    """``data_manifests`` of the repository, which the wheel carries inside the package."""
    packaged = Path(__file__).parent / "manifests"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "data_manifests"


@cache
def manifests() -> dict[str, Manifest]:
    """All manifests by name."""
    read = (read_manifest(path) for path in sorted(_folder().glob("*.toml")))
    return {manifest.name: manifest for manifest in read}


def manifest(name: str) -> Manifest:
    """The manifest of that name, or an error that proposes the closest.

    Raises
    ------
    ValueError
        There is no such data set.
    """
    if name not in manifests():
        raise ValueError(unknown_name("name", name, manifests()))
    return manifests()[name]
