from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py
    import numpy as np


@dataclass(frozen=True)
class Contiguous:
    """A matrix whose values stand in its file as they would in memory."""

    path: Path
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
    offset = dataset.id.get_offset()
    if offset is None:  # nothing was ever written
        return None
    found = Contiguous(Path(dataset.file.filename), offset, dataset.shape, dataset.dtype)
    if found.path.stat().st_size < offset + found.shape[0] * found.line:
        raise OSError("the file ends before its matrix does")
    return found
