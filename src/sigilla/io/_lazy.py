"""A GCTX matrix that stays on disk, as a dask array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import dask.array as da
import h5py
import numpy as np

from sigilla.io._matrix import read_matrix

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Index = NDArray[np.intp]

BLOCK_BYTES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class DiskMatrix:
    """Rows and columns of a dataset; holds no open file, so it can be pickled and shared."""

    path: str
    node: str
    stored: tuple[int, int]
    dtype: np.dtype[Any]
    rows: Index | None = None
    cols: Index | None = None

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Of the selection."""
        return (
            self.stored[0] if self.rows is None else len(self.rows),
            self.stored[1] if self.cols is None else len(self.cols),
        )

    def narrowed(self, key: tuple[Any, Any]) -> DiskMatrix:
        """The same dataset, with a selection of the selection."""
        rows, cols = (
            _select(base, part, size)
            for base, part, size in zip((self.rows, self.cols), key, self.shape, strict=True)
        )
        return replace(self, rows=rows, cols=cols)

    def __getitem__(self, key: tuple[Any, Any]) -> NDArray[Any]:
        wanted = self.narrowed(key)
        with h5py.File(self.path, "r") as file:
            return read_matrix(file[self.node], wanted.rows, wanted.cols, self.dtype)


def _select(base: Index | None, part: Any, size: int) -> Index | None:
    if isinstance(part, slice) and part.indices(size) == (0, size, 1):
        return base
    index = np.arange(size) if base is None else base
    chosen: Index = index[part]
    return chosen


def disk_array(source: DiskMatrix, height: int) -> da.Array:
    """The dask array of a selection, in blocks of ``height`` whole signatures."""
    n_rows, n_cols = source.shape
    chunks = (min(height, max(n_rows, 1)), max(n_cols, 1))
    meta = np.empty((0, 0), dtype=source.dtype)  # told, or dask would read to find out
    from_array: Any = da.from_array  # dask is not typed
    array: da.Array = from_array(source, chunks, name=False, asarray=False, lock=False, meta=meta)
    _SOURCES[array.name] = source
    return array


_SOURCES: WeakValueDictionary[str, DiskMatrix] = WeakValueDictionary()


def disk_matrix(x: Any) -> DiskMatrix | None:
    """What a backed matrix from :func:`sigilla.io.read_gctx` reads from, for access by row.

    A slice of a dask array reads every block that it touches, whole: one signature costs
    megabytes. ``disk_matrix(adata.X)[rows, :]`` reads just those rows of the file, in that order.

    Parameters
    ----------
    x
        The ``X`` of an AnnData.

    Returns
    -------
    The rows on disk; None for every other matrix, slices and views of a backed one included.

    Examples
    --------
    >>> import numpy as np
    >>> disk_matrix(np.ones((2, 2))) is None
    True
    """
    return _SOURCES.get(x.name) if isinstance(x, da.Array) else None


def lazy_matrix(
    path: Path, matrix: h5py.Dataset, rows: Index | None, cols: Index | None, dtype: np.dtype[Any]
) -> da.Array:
    """The chosen rows and columns of a GCTX matrix."""
    source = DiskMatrix(str(path.resolve()), matrix.name, matrix.shape, dtype, rows, cols)
    height = max(1, BLOCK_BYTES // max(1, matrix.shape[1] * matrix.dtype.itemsize))
    if matrix.chunks is not None and rows is None:  # no chunk is to be inflated for two blocks
        height = -(-height // matrix.chunks[0]) * matrix.chunks[0]
    return disk_array(source, height)
