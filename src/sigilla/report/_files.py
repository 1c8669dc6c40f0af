"""The files of a report: all whole, or none of them replaced."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from sigilla.errors import FileError
from sigilla.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import pandas as pd

# What a spreadsheet takes for the start of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """The folder, made where it does not exist, and gone again if the block leaves it empty."""
    made = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"out={str(path)!r} cannot be made a folder: {error}") from error
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty: something else is kept there
            for folder in made:
                folder.rmdir()
        raise


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what a killed process left of these files."""
    for name in names:
        for part in folder.glob(f".{name}.*.part"):
            part.unlink(missing_ok=True)


def write_all(folder: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Write each file beside its name, and rename them all once all are whole.

    The first named takes its name last: where it is new, so are the others.
    """
    with ExitStack() as stack:
        for name, write in files.items():
            part = stack.enter_context(replacing(folder / name, argument="out"))
            write(part)


def write_csv(table: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """UTF-8 CSV in which no name can act as a formula: such a one gets a leading apostrophe."""
    guarded = table.copy()
    for column in guarded.select_dtypes(exclude="number"):
        guarded[column] = guarded[column].map(guard)
    guarded.columns = [guard(c) for c in guarded.columns]
    if index:
        guarded.index = guarded.index.map(guard)
    # With a byte order mark, as spreadsheets take other UTF-8 for the local code page.
    guarded.to_csv(
        path, index=index, index_label=table.index.name if index else None, encoding="utf-8-sig"
    )


def guard(value: object) -> object:
    """A text that no spreadsheet takes for a formula; anything else as it is.

    Examples
    --------
    >>> guard("=cmd()"), guard("MEK inhibitor"), guard(-0.5)
    ("'=cmd()", 'MEK inhibitor', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
