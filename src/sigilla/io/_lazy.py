"""A GCTX matrix that stays on disk, as a dask array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from sigilla.io._matrix import read_matrix

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Index = NDArray[np.intp]

BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class DiskMatrix:
    """Reads what it is indexed with: no open file, so it can be pickled and shared."""

    path: str
    node: str
    rows: Index | None
    cols: Index | None
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    ndim = 2

    def __getitem__(self, key: tuple[Any, Any]) -> NDArray[Any]:
        rows, cols = (
            _select(base, part, size)
            for base, part, size in zip((self.rows, self.cols), key, self.shape, strict=True)
        )
        with h5py.File(self.path, "r") as file:
            return read_matrix(file[self.node], rows, cols, self.dtype)


def _select(base: Index | None, part: Any, size: int) -> Index | None:
    if isinstance(part, slice) and part.indices(size) == (0, size, 1):
        return base
    index = np.arange(size) if base is None else base
    chosen: Index = index[part]
    return chosen


def lazy_matrix(
    path: Path, matrix: h5py.Dataset, rows: Index | None, cols: Index | None, dtype: np.dtype[Any]
) -> Any:
    """The dask array of the chosen rows and columns, in blocks of whole signatures."""
    import dask.array as da

    shape = (
        matrix.shape[0] if rows is None else len(rows),
        matrix.shape[1] if cols is None else len(cols),
    )
    height = max(1, BLOCK_BYTES // max(1, matrix.shape[1] * matrix.dtype.itemsize))
    if matrix.chunks is not None and rows is None:  # no chunk is inflated for two blocks
        height = -(-height // matrix.chunks[0]) * matrix.chunks[0]
    source = DiskMatrix(str(path.resolve()), matrix.name, rows, cols, shape, dtype)
    chunks = (min(height, max(shape[0], 1)), max(shape[1], 1))
    from_array: Any = da.from_array  # dask is not typed
    return from_array(source, chunks=chunks, asarray=False, fancy=True, lock=False)
