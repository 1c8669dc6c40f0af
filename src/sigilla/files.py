"""Files that are whole or not there: written beside the target, then renamed."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sigilla.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | Path, *, argument: str = "path") -> Iterator[Path]:
    """A path to write to; it takes the target's name when the block ends well.

    Where the block fails, the target is as it was and nothing is left beside it. An ``OSError``
    (no such folder, no right, disk full) becomes a :class:`~sigilla.errors.FileError` that names
    ``argument``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = pathlib.Path(folder) / "notes.txt"
    ...     with replacing(target) as part:
    ...         _ = part.write_text("whole")
    ...     target.read_text()
    'whole'
    """
    target = Path(path).resolve() if Path(path).is_symlink() else Path(path)
    if target.exists() and not target.is_file():
        raise FileError(f"{argument}={str(path)!r} is no regular file; name a file to write")
    if not target.parent.is_dir():
        raise FileError(
            f"{argument}={str(path)!r} cannot be written: the folder {str(target.parent)!r} does "
            "not exist; make it first"
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(target)
    except (OSError, RuntimeError) as error:  # HDF5 says RuntimeError of a full disk
        reason = str(error).replace(str(part), str(target))  # nobody asked for a .part
        raise FileError(f"{argument}={str(path)!r} cannot be written: {reason}") from error
    finally:
        with suppress(OSError):  # where the folder is none there is nothing to remove
            part.unlink()
