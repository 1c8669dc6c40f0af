from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sigilla.errors import DataError, unknown_name

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

# Rows made dense at a time, so that sparse input costs no second full copy in another type.
_BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Observations:
    """A dense float32 matrix, observations x features, and where its columns stand in ``var``.

    ``columns`` holds the position of each feature in ``adata.var`` (-1: not there), or is ``None``
    where the matrix came from ``obsm`` and its features are no genes.
    """

    x: NDArray[np.float32]
    names: tuple[str, ...]
    columns: NDArray[np.intp] | None


def read_observations(
    adata: AnnData,
    *,
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
) -> Observations:
    """The matrix that a call names: ``X``, a layer, or a representation in ``obsm``.

    Sparse, backed and dask matrices are read block by block into the one dense result.

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
            raise KeyError(unknown_name("use_rep", use_rep, adata.obsm))
        matrix: Any = adata.obsm[use_rep]
        names = tuple(f"{use_rep}_{i}" for i in range(matrix.shape[1]))
        argument = f"use_rep={use_rep!r}"
    else:
        if layer is not None and layer not in adata.layers:
            raise KeyError(unknown_name("layer", layer, adata.layers))
        matrix = adata.X if layer is None else adata.layers[layer]
        if matrix is None:
            raise DataError("adata.X is None; name the matrix with layer=... or use_rep=...")
        columns = _columns(adata, mask_var)
        names = tuple(adata.var_names[columns])
        argument = "adata.X" if layer is None else f"layer={layer!r}"
    if not adata.n_obs or not names:
        raise DataError(f"{argument} is empty: {adata.n_obs} observations x {len(names)} features")
    x = _dense(matrix, columns)
    _require_finite(x, argument, adata)
    return Observations(x, names, columns)


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


def _dense(matrix: Any, columns: NDArray[np.intp] | None) -> NDArray[np.float32]:
    everything = columns is None or len(columns) == matrix.shape[1]
    if isinstance(matrix, np.ndarray) and everything:
        return np.ascontiguousarray(matrix, dtype=np.float32)
    n_features = matrix.shape[1] if columns is None else len(columns)
    x = np.empty((matrix.shape[0], n_features), dtype=np.float32)
    for start in range(0, len(x), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        block = matrix.iloc[rows].to_numpy() if hasattr(matrix, "iloc") else matrix[rows]
        if hasattr(block, "compute"):
            block = block.compute()
        if sparse.issparse(block):
            block = block.toarray()
        x[rows] = block if everything else np.asarray(block)[:, columns]
    return x


def _require_finite(x: NDArray[np.float32], argument: str, adata: AnnData) -> None:
    # The sum of a row is finite if its values are; only then is a look at each value needed.
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = np.flatnonzero(~np.isfinite(x.sum(axis=1, dtype=np.float64)))
    wrong = suspects[~np.isfinite(x[suspects]).all(axis=1)]
    if len(wrong):
        count = int((~np.isfinite(x[wrong])).sum())
        raise DataError(
            f"{argument} has {count} NaN or infinite value(s), the first in observation "
            f"{adata.obs_names[wrong[0]]!r}; remove those observations or genes, or impute them"
        )
