"""The only door to cmapPy, which still names things that numpy 2 took away.

sigilla reads and writes by itself; cmapPy is the oracle that its tests compare with, and the
parser of GMT files.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.errors import DataError, FileError

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    r"""Read the sets of a GMT file: set name -> members.

    Parameters
    ----------
    path
        The ``.gmt`` file: one set per line, name, description and members between tabs.

    Returns
    -------
    The members of each set by its name, in the order of the file.

    Raises
    ------
    FileError
        The file is missing or cannot be read.
    DataError
        A line has fewer than three fields, or a set or a member of a set is repeated.

    Examples
    --------
    >>> import tempfile, pathlib, sigilla as sg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "pcl.gmt"
    ...     _ = path.write_text("CP_MEK_INHIBITOR\tPCL\tBRD-K12343256\tBRD-K57080016\n")
    ...     sg.io.read_gmt(path)
    {'CP_MEK_INHIBITOR': ['BRD-K12343256', 'BRD-K57080016']}
    """
    from cmapPy.set_io import gmt  # noqa: TID251

    try:
        sets = gmt.read(str(Path(path).expanduser()))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"path={str(path)!r} cannot be read as GMT: {error}") from error
    except AssertionError as error:
        raise DataError(f"path={str(path)!r} is not a valid GMT file: {error}") from error
    return {item["head"]: item["entry"] for item in sets}


def parse(path: str | Path, **options: Any) -> Any:
    """A GCT or GCTX file as cmapPy reads it: a GCToo object."""
    from cmapPy.pandasGEXpress import parse as module  # noqa: TID251

    with _its_own_warnings():
        return module.parse(str(path), **options)


def write_gctx(gctoo: Any, path: str | Path, **options: Any) -> None:
    """A GCToo object as cmapPy writes it to GCTX."""
    from cmapPy.pandasGEXpress import write_gctx as module  # noqa: TID251

    if not hasattr(module.numpy, "string_"):
        module.numpy = SimpleNamespace(**vars(np), string_=np.bytes_)
    with _its_own_warnings():
        module.write(gctoo, str(path), **options)


def write_gct(gctoo: Any, path: str | Path, **options: Any) -> None:
    """A GCToo object as cmapPy writes it to GCT."""
    from cmapPy.pandasGEXpress import write_gct as module  # noqa: TID251

    with _its_own_warnings():
        module.write(gctoo, str(path), **options)


@contextlib.contextmanager
def _its_own_warnings() -> Iterator[None]:
    """Pandas warns cmapPy's authors about its future; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
