from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


@dataclass(frozen=True)
class Contiguous:
    """A matrix whose values stand in its file as they would in memory."""

    file: int  # a descriptor of its own: what HDF5 keeps of its own, as its place, stays as it is
    offset: int  # of its first byte in the file
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def line(self) -> int:
        """Bytes of one row."""
        return self.shape[1] * self.dtype.itemsize


@contextmanager
def contiguous(dataset: h5py.Dataset) -> Iterator[Contiguous | None]:
    """Where a dataset stands in its file, which is open meanwhile; None: HDF5 has to be asked."""
    offset = _offset(dataset)
    if offset is None:
        yield None
        return
    with Path(dataset.file.filename).open("rb", buffering=0) as file:
        found = Contiguous(file.fileno(), offset, dataset.shape, dataset.dtype)
        status = os.fstat(found.file)
        # Windows lets nobody replace a file that is open.
        opened = None if sys.platform == "win32" else os.fstat(dataset.file.id.get_vfd_handle())
        if opened and not os.path.samestat(status, opened):
            raise OSError("another file has taken its place while it was read")
        if status.st_size < offset + found.shape[0] * found.line:
            raise OSError("the file ends before its matrix does")
        yield found


def _offset(dataset: h5py.Dataset) -> int | None:
    """Of its first byte in the file; None where its values stand otherwise, or not at all."""
    plain = dataset.chunks is None and not dataset.is_virtual and not dataset.external
    if not plain or dataset.file.driver != "sec2" or dataset.dtype.kind not in "iuf":
        return None
    if dataset.file.userblock_size or not is_as_in_memory(dataset):
        return None
    offset: int | None = dataset.id.get_offset()
    return offset


def is_as_in_memory(dataset: h5py.Dataset) -> bool:
    """Whether the file has a number's bits as numpy has them; of odd ones h5py takes wider ones."""
    return bool(h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type()))
