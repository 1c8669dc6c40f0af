from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from io import FileIO

    import numpy as np


@dataclass(frozen=True)
class Contiguous:
    """A matrix whose values stand in its file as they would in memory."""

    path: Path
    identity: tuple[int, int]  # of the file, whatever stands at its path later
    offset: int  # of its first byte in the file
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def line(self) -> int:
        """Bytes of one row."""
        return self.shape[1] * self.dtype.itemsize

    def open(self) -> FileIO:
        """The same file again; an error if another has taken its place."""
        file = self.path.open("rb", buffering=0)
        if _identity(os.fstat(file.fileno())) == self.identity:
            return file
        file.close()
        raise OSError("another file has taken its place while its matrix was read")


def contiguous(dataset: h5py.Dataset) -> Contiguous | None:
    """Where a dataset stands in its file; None where HDF5 has to be asked."""
    plain = dataset.chunks is None and not dataset.is_virtual and not dataset.external
    if not plain or dataset.file.driver != "sec2" or dataset.dtype.kind not in "iuf":
        return None
    if dataset.file.userblock_size or not is_as_in_memory(dataset):
        return None
    offset = dataset.id.get_offset()
    if offset is None:  # nothing was ever written
        return None
    path = Path(dataset.file.filename)
    status = path.stat()
    found = Contiguous(path, _identity(status), offset, dataset.shape, dataset.dtype)
    if status.st_size < offset + found.shape[0] * found.line:
        raise OSError("the file ends before its matrix does")
    return found


def is_as_in_memory(dataset: h5py.Dataset) -> bool:
    """Whether the file has a number's bits as numpy has them; of odd ones h5py takes wider ones."""
    return bool(h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type()))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
