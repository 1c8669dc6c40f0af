from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Contiguous:
    """A matrix whose values stand in its file as they would in memory."""

    file: int
    """HDF5's own descriptor of the file: good while that is open, whatever stands at its path."""
    offset: int  # of its first byte in the file
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def line(self) -> int:
        """Bytes of one row."""
        return self.shape[1] * self.dtype.itemsize


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
    file = dataset.file.id.get_vfd_handle()
    found = Contiguous(file, offset, dataset.shape, dataset.dtype)
    if os.fstat(file).st_size < offset + found.shape[0] * found.line:
        raise OSError("the file ends before its matrix does")
    return found


def is_as_in_memory(dataset: h5py.Dataset) -> bool:
    """Whether the file has a number's bits as numpy has them; of odd ones h5py takes wider ones."""
    return bool(h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type()))
