"""Files in and out by their suffix, and what is said on the way."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from sigilla.errors import DataError, FileError, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from anndata import AnnData

    from sigilla.models import Model


def _read_h5ad(path: Path) -> AnnData:
    import anndata

    try:
        return anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise FileError(f"{path} is not a whole .h5ad file: {error}") from error


def _write_h5ad(adata: AnnData, path: Path) -> None:
    from sigilla.files import replacing

    with replacing(path, argument="--out") as part:
        adata.write_h5ad(part)


def _io(name: str) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        import sigilla as sg

        return getattr(sg.io, name)(*args, **options)

    return call


READERS = {".h5ad": _read_h5ad, ".gctx": _io("read_gctx"), ".gct": _io("read_gct")}
WRITERS = {".h5ad": _write_h5ad, ".gctx": _io("write_gctx"), ".gct": _io("write_gct")}


def read(path: Path, **release: Path | list[str] | None) -> AnnData:
    """Signatures of a file, joined with the tables of its release where some are given."""
    given = {name: value for name, value in release.items() if value}
    for file in (path, *(v for v in given.values() if not isinstance(v, list))):
        if not file.exists():
            raise FileError(f"{file} does not exist")
    suffix = _suffix(path)
    if suffix not in READERS:
        raise FileError(f"{path}: the suffix must be one of {listed(READERS)}")
    if given and path.suffix == ".h5ad":
        raise DataError(
            f"{listed(given)} go with a .gctx file; {path.name} has its own obs and var"
        )
    with step(f"read {path}"):
        return _io("read_lincs")(path, **given) if given else READERS[suffix](path)


def _suffix(path: Path) -> str:
    """The kind of file, also of a packed one: its reader unpacks it or says how to."""
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def write(adata: AnnData, path: Path) -> None:
    WRITERS[path.suffix](adata, path)


def reference_of(path: Path | None) -> AnnData | Model:
    import sigilla as sg

    if path is None:
        return sg.datasets.svqvae_lincs_pretrained()
    return sg.models.load(path) if path.suffix == ".safetensors" else read(path)


def writable(path: Path, *, suffixes: tuple[str, ...] = (".h5ad",)) -> Path:
    """The path, or an error before any work is done for a result that nobody could keep."""
    if path.suffix not in suffixes:
        raise FileError(f"{path}: the suffix must be one of {listed(suffixes)}")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FileError(f"{path} cannot be written: its folder must exist and let you write")
    return path


def folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"--out {path} cannot be made a folder: {error}") from error
    return path


@contextmanager
def step(title: str) -> Iterator[None]:
    """What goes on and, when done, how long it took; on stderr, so that results can be piped."""
    start = time.perf_counter()
    say(f"{title} ...")
    yield
    say(f"{title}: {time.perf_counter() - start:.1f} s")


def say(text: str) -> None:
    typer.echo(text, err=True)
