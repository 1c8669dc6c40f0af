"""Whole genes of any matrix, in pieces that fit in memory.

A gene's score needs all of its samples at once, so a matrix that is not in memory is read in
strips of genes. One that is stored by samples (CSR, or dask with chunks of rows) is passed over
once for each strip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sigilla.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

# Bytes of a strip of genes read from disk.
STRIP_BYTES = 2**29
# Values looked at to tell whether a matrix holds whole numbers.
_SAMPLED = 100_000


def choose_matrix(adata: AnnData, layer: str | None) -> Any:
    """``adata.X`` or a layer, as it is stored."""
    if layer is None:
        if adata.X is None:
            raise ValueError("adata.X is empty; name the matrix with layer=...")
        return adata.X
    if layer not in adata.layers:
        raise KeyError(unknown_name("layer", layer, adata.layers))
    return adata.layers[layer]


def choose_genes(adata: AnnData, mask_var: str | NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The mask of the genes to use."""
    if mask_var is None:
        return np.ones(adata.n_vars, dtype=bool)
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise KeyError(unknown_name("mask_var", mask_var, adata.var.columns))
        mask_var = adata.var[mask_var].to_numpy()
    mask = np.asarray(mask_var)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        raise ValueError(
            f"mask_var must be {adata.n_vars} booleans, one per gene;"
            f" it is of type {mask.dtype} and shape {mask.shape}"
        )
    if not mask.any():
        raise ValueError("mask_var leaves no gene")
    return mask


def strips(matrix: Any, genes: NDArray[np.bool_]) -> Iterator[Any]:
    """The chosen genes from left to right, as dense or sparse samples x genes matrices."""
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix):
        yield matrix if genes.all() else matrix[:, genes]
        return
    n, p = matrix.shape
    width = max(1, min(p, STRIP_BYTES // (n * matrix.dtype.itemsize)))
    for start in range(0, p, width):
        chosen = genes[start : start + width]
        if chosen.any():
            strip = _read(matrix, slice(start, start + width), width)
            yield strip if chosen.all() else strip[:, chosen]


def _read(matrix: Any, genes: slice, width: int) -> Any:
    if getattr(matrix, "format", None) == "csr":  # on disk by samples: rows are cheap, genes not
        n = matrix.shape[0]
        step = max(1, n * width // matrix.shape[1])
        rows = [matrix[at : at + step][:, genes] for at in range(0, n, step)]
        return sparse.vstack(rows, format="csr")
    strip = matrix[:, genes]
    if hasattr(strip, "compute"):
        strip = strip.compute()
    return strip if sparse.issparse(strip) else np.asarray(strip)


def holds_whole_numbers(strip: Any) -> bool:
    """Whether a sample of the values, zeros apart, are all whole numbers."""
    if sparse.issparse(strip):
        values = strip.data
    else:
        values = strip[:: max(1, strip.shape[0] * strip.shape[1] // _SAMPLED)]
    values = np.ravel(values)
    values = values[:: max(1, len(values) // _SAMPLED)]
    values = values[values != 0]
    return bool(len(values)) and bool(np.all(values == np.rint(values)))
