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


_H5AD, _GCTX, _TEXT, _CELLS = "an .h5ad", "a .gctx", "a text matrix", "single cells"
KINDS = {
    ".h5ad": _H5AD,
    ".gctx": _GCTX,
    ".gct": "a .gct",
    **dict.fromkeys((".csv", ".tsv", ".txt", ".tab"), _TEXT),
    **dict.fromkeys((".h5", ".mtx", ".loom"), _CELLS),
}
READERS = {
    _H5AD: _read_h5ad,
    _GCTX: _io("read_gctx"),
    "a .gct": _io("read_gct"),
    _TEXT: _io("read_table"),
    _CELLS: _io("read_single_cell"),
}
WRITERS = {".h5ad": _write_h5ad, ".gctx": _io("write_gctx"), ".gct": _io("write_gct")}
# What an option is about; all others are tables and filters of a release.
_ABOUT = {"labels": (_TEXT, _CELLS), "genes": (_TEXT,)}
# Options that are repeated, of which Python takes a list.
_REPEATED = {"cell_lines": "cell-line", "exclude_perts": "exclude-pert"}


def read(path: Path, **options: Path | list[str] | str | None) -> AnnData:
    """Signatures of a file of any kind, with what the options say of it or join to it."""
    given = {name: value for name, value in options.items() if value}
    for file in (path, *(v for v in given.values() if not isinstance(v, list | str))):
        if not file.exists():
            raise FileError(f"{file} does not exist")
    kind = _kind(path)
    for name in given:
        about = _ABOUT.get(name, (_GCTX,))
        if kind not in about:
            raise DataError(
                f"--{_REPEATED.get(name, name).replace('_', '-')} goes with "
                f"{' or '.join(about)}; {path.name} is "
                f"{kind}, which says itself what it holds"
            )
    reader = _io("read_lincs") if given and kind == _GCTX else READERS[kind]
    with step(f"read {path}"):
        return reader(path, **given)


def opened(path: Path) -> AnnData:
    """Signatures whose matrix stays in the file."""
    import anndata

    import sigilla as sg

    if not path.exists():
        raise FileError(f"{path} does not exist")
    if path.suffix == ".gctx":
        return sg.io.read_gctx(path, backed=True)
    if path.suffix != ".h5ad":
        raise FileError(f"{path}: only an .h5ad or a .gctx can stay on disk; leave --from-disk out")
    return anndata.read_h5ad(path, backed="r")


def _kind(path: Path) -> str:
    if path.is_dir():
        return _CELLS
    suffix = _suffix(path)
    if suffix not in KINDS:
        raise FileError(f"{path}: the suffix must be one of {listed(KINDS, limit=len(KINDS))}")
    return KINDS[suffix]


def _suffix(path: Path) -> str:
    """The kind of file, also of a packed one: its reader unpacks it or says how to."""
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def leads() -> bool:
    """Whether this is the one of the processes that torchrun started that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def write(adata: AnnData, path: Path) -> None:
    if leads():
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
    if not leads():
        yield
        return
    start = time.perf_counter()
    say(f"{title} ...")
    yield
    say(f"{title}: {time.perf_counter() - start:.1f} s")


def say(text: str) -> None:
    typer.echo(text, err=True)
