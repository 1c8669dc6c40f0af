from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sigilla.errors import DataError, unknown_name
from sigilla.io import disk_matrix

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

# What is read at a time: enough for a disk, little beside a matrix.
_BLOCK_BYTES = 8 * 2**20
# Of the memory available, what a dense matrix may take before it is left on disk.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Observations:
    """A dense float32 matrix, observations x features, and where its columns stand in ``var``.

    ``x`` is an array, or :class:`Blocks` where the matrix stays where it is and is read by rows.
    ``columns`` holds the position of each feature in ``adata.var`` (-1: not there), or is ``None``
    where the matrix came from ``obsm`` and its features are no genes.
    """

    x: NDArray[np.float32] | Blocks
    names: tuple[str, ...]
    columns: NDArray[np.intp] | None


def read_observations(
    adata: AnnData,
    *,
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    from_disk: bool | None = False,
    called: str = "adata",
) -> Observations:
    """The matrix that a call names: ``X``, a layer, or a representation in ``obsm``.

    Sparse, backed and dask matrices are read block by block into the one dense result. With
    ``from_disk`` the matrix stays where it is, and its rows are made dense when they are asked
    for; ``None`` does so where the dense result would take more than half of the memory that is
    available. ``called`` is the name of the argument in messages.

    Raises
    ------
    KeyError
        ``layer``, ``use_rep`` or ``mask_var`` is not there.
    DataError
        No observations, no features, or values that are NaN or infinite.
    """
    if layer is not None and use_rep is not None:
        raise ValueError(f"give layer={layer!r} or use_rep={use_rep!r}, not both")
    columns = None
    if use_rep is not None:
        if use_rep not in adata.obsm:
            message = unknown_name("use_rep", use_rep, adata.obsm)
            raise KeyError(f"{message} (keys of {called}.obsm)")
        matrix: Any = adata.obsm[use_rep]
        names = tuple(f"{use_rep}_{i}" for i in range(matrix.shape[1]))
        argument = f"{called}.obsm[{use_rep!r}]"
    else:
        if layer is not None and layer not in adata.layers:
            message = unknown_name("layer", layer, adata.layers)
            raise KeyError(f"{message} (keys of {called}.layers)")
        matrix = adata.X if layer is None else adata.layers[layer]
        if matrix is None:
            raise DataError(f"{called}.X is None; name the matrix with layer=... or use_rep=...")
        columns = _columns(adata, mask_var)
        names = tuple(adata.var_names[columns])
        argument = f"{called}.X" if layer is None else f"{called}.layers[{layer!r}]"
    if not adata.n_obs or not names:
        raise DataError(f"{argument} is empty: {adata.n_obs} observations x {len(names)} features")
    blocks = Blocks.of(matrix, columns, argument, adata)
    if from_disk is None:
        from_disk = not isinstance(matrix, np.ndarray) and _is_large(blocks.shape)
    return Observations(blocks if from_disk else blocks.whole(), names, columns)


def _columns(adata: AnnData, mask_var: str | NDArray[np.bool_] | None) -> NDArray[np.intp]:
    if mask_var is None:
        return np.arange(adata.n_vars)
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise KeyError(unknown_name("mask_var", mask_var, adata.var.columns))
        return np.flatnonzero(adata.var[mask_var].to_numpy(dtype=bool))
    mask = np.asarray(mask_var, dtype=bool)
    if mask.shape != (adata.n_vars,):
        raise ValueError(
            f"mask_var has shape {mask.shape}; it needs one value per gene, {adata.n_vars}"
        )
    return np.flatnonzero(mask)


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix that stays where it is, read as dense float32 rows; NaN and infinity are refused."""

    matrix: Any
    columns: NDArray[np.intp] | None  # None: all
    argument: str
    obs_names: pd.Index = field(repr=False)
    block_rows: int

    @classmethod
    def of(
        cls, matrix: Any, columns: NDArray[np.intp] | None, argument: str, adata: AnnData
    ) -> Blocks:
        """All rows of a matrix, and the columns named."""
        everything = columns is None or len(columns) == matrix.shape[1]
        source = disk_matrix(matrix)
        return cls(
            matrix if source is None else source,
            None if everything else columns,
            argument,
            adata.obs_names,
            _block_rows(matrix),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Of what is read."""
        n_columns = self.matrix.shape[1] if self.columns is None else len(self.columns)
        return self.matrix.shape[0], n_columns

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        if hasattr(self.matrix, "iloc"):
            block = self.matrix.iloc[rows].to_numpy()
        else:
            block = self.matrix[rows, :]
        if hasattr(block, "compute"):
            block = block.compute()
        if sparse.issparse(block):
            block = block.toarray()
        if self.columns is not None:
            block = np.asarray(block)[:, self.columns]
        x = np.ascontiguousarray(block, dtype=np.float32)
        self._require_finite(x, rows.start or 0)
        return x

    def whole(self) -> NDArray[np.float32]:
        """All rows as one array; no second one in another type is made on the way."""
        if isinstance(self.matrix, np.ndarray) and self.columns is None:
            return self[:]
        x = np.empty(self.shape, dtype=np.float32)
        for start in range(0, len(x), self.block_rows):
            rows = slice(start, start + self.block_rows)
            x[rows] = self[rows]
        return x

    def _require_finite(self, x: NDArray[np.float32], first: int) -> None:
        # A finite sum has finite values only; of other rows each value is looked at, for the sum of
        # large ones may be infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(x.sum(axis=1)))
        wrong = suspects[~np.isfinite(x[suspects]).all(axis=1)]
        if len(wrong):
            count = int((~np.isfinite(x[wrong])).sum())
            raise DataError(
                f"{self.argument} has {count} NaN or infinite value(s), the first in observation "
                f"{self.obs_names[first + wrong[0]]!r}; remove those observations or genes, or "
                "impute them"
            )


def _block_rows(matrix: Any) -> int:
    """Rows of about ``_BLOCK_BYTES``, in whole chunks where the matrix is stored in chunks."""
    rows = max(1, _BLOCK_BYTES // (4 * max(matrix.shape[1], 1)))
    chunks = getattr(matrix, "chunks", None)
    if not chunks:
        return rows
    height = chunks[0][0] if isinstance(chunks[0], tuple) else chunks[0]  # of dask, of a file
    return -(-rows // height) * height


def _is_large(shape: tuple[int, int]) -> bool:
    return 4 * shape[0] * shape[1] > _MEMORY_SHARE * _memory_available()


def _memory_available() -> int:
    """Bytes that could be taken without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux: what there is at all
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
