"""Reading loom files, HDF5 with genes in rows, without the package that writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sigilla.errors import FileError, listed
from sigilla.io._metadata import decode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CELL_NAMES = ("CellID", "obs_names", "cell_id")  # loompy's, scanpy's, and an older habit
GENE_NAMES = ("Gene", "var_names", "Accession")
BLOCK_BYTES = 32 * 2**20


def read_loom(path: Path) -> ad.AnnData:
    """Cells x genes, sparse float32; the attributes of both, and every layer."""
    with h5py.File(path) as file:
        missing = [name for name in ("matrix", "row_attrs", "col_attrs") if name not in file]
        if missing:
            raise FileError(
                f"path={str(path)!r} is HDF5 but not loom: it has no {listed(missing)}, only "
                f"{listed(file)} at the top."
            )
        n_genes, n_cells = file["matrix"].shape
        obs, obsm = _attributes(file["col_attrs"], n_cells, CELL_NAMES, "c")
        var, varm = _attributes(file["row_attrs"], n_genes, GENE_NAMES, "g")
        layers = {name: _sparse(node) for name, node in file.get("layers", {}).items()}
        x = _sparse(file["matrix"])
    return ad.AnnData(x, obs=obs, var=var, obsm=obsm, varm=varm, layers=layers)


def _sparse(matrix: h5py.Dataset) -> sparse.csr_matrix:
    """The transposed matrix; never more than a block of it is dense."""
    height = max(1, BLOCK_BYTES // (4 * max(1, matrix.shape[1])))
    if matrix.chunks is not None:
        height = -(-height // matrix.chunks[0]) * matrix.chunks[0]
    blocks = [
        sparse.csr_matrix(matrix[start : start + height].astype(np.float32))
        for start in range(0, matrix.shape[0], height)
    ]
    return sparse.vstack(blocks).T.tocsr()


def _attributes(
    group: h5py.Group, count: int, known_names: tuple[str, ...], letter: str
) -> tuple[pd.DataFrame, dict[str, NDArray[Any]]]:
    """A table of the attributes with one value each, and those with several by name."""
    values = {name: node[...] for name, node in group.items() if isinstance(node, h5py.Dataset)}
    for name, value in values.items():
        if value.shape[:1] != (count,):
            raise FileError(
                f"{group.file.filename!r}: attribute {name!r} has shape {value.shape}, but the "
                f"matrix has {count} there."
            )
    columns = {
        name: decode(value) if value.dtype.kind in "SO" else value
        for name, value in values.items()
        if value.ndim == 1
    }
    names = next((name for name in known_names if name in columns), None)
    index = [f"{letter}{i}" for i in range(count)] if names is None else columns.pop(names)
    frame = pd.DataFrame(columns, index=pd.Index(index, dtype=object).astype(str))
    return frame, {name: value for name, value in values.items() if value.ndim > 1}
