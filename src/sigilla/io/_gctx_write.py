"""Writing GCTX so that cmapPy, cmapR and cmapM read it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from sigilla.errors import DataError, FileError, listed, unknown_name
from sigilla.files import replacing
from sigilla.io._gctx import COL, MATRIX, ROW
from sigilla.io._metadata import MISSING
from sigilla.io._sink import new_hdf5
from sigilla.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import anndata as ad
    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]

VERSION = "GCTX1.0"
BLOCK_BYTES = 32 * 2**20
CHUNK_BYTES = 2**20
RESERVE_BYTES = 2**20


def write_gctx(
    adata: ad.AnnData, path: str | Path, *, layer: str | None = None, compression: int | None = None
) -> None:
    """Write signatures x genes as a GCTX file that cmapPy, cmapR and cmapM read.

    The file appears under its name when it is complete; if anything fails, what was there
    before is untouched and nothing is left behind. Sparse, backed and dask matrices are written
    block by block.

    Parameters
    ----------
    adata
        ``obs`` and ``var`` are written beside the matrix: categories as text, missing values as
        the format's ``-666``.
    path
        The file to write.
    layer
        The layer to write in place of ``X``.
    compression
        Level of gzip for the matrix, 1 to 9; by default it is stored plainly, which reads
        fastest.

    Raises
    ------
    FileError
        The folder does not exist or cannot be written, or the disk is full.
    DataError
        There is no matrix, ids are repeated, or a metadata column cannot be stored.

    Examples
    --------
    >>> import tempfile, anndata, numpy as np, sigilla as sg
    >>> adata = anndata.AnnData(np.ones((2, 3), dtype="float32"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.io.write_gctx(adata, f"{folder}/ones.gctx")
    ...     sg.io.read_gctx(f"{folder}/ones.gctx").shape
    (2, 3)
    """
    x = matrix_to_write(adata, layer)
    if compression is not None and compression not in range(1, 10):
        raise DataError(f"compression={compression!r} is not a gzip level; use 1 to 9, or None.")
    stored = _stored_dtype(x.dtype)
    obs = {str(name): encode(adata.obs[name], "obs") for name in adata.obs.columns}
    var = {str(name): encode(adata.var[name], "var") for name in adata.var.columns}
    with replacing(path) as part:
        if compression is None:
            _check_room(part, adata.n_obs * adata.n_vars * stored.itemsize)
        with new_hdf5(part) as (file, sink):
            file.attrs["version"] = np.bytes_(VERSION)
            _write_metadata(file, COL, adata.obs_names, obs)
            _write_metadata(file, ROW, adata.var_names, var)
            target, height = _create_matrix(file, adata.shape, stored, compression)
            for begin, block in blocks(x, height):
                target[begin : begin + len(block)] = block
                if sink.error is not None:  # the rest would go nowhere
                    break


def matrix_to_write(adata: ad.AnnData, layer: str | None) -> Any:
    """The matrix of an AnnData whose ids and columns can be stored in GCT and GCTX."""
    if layer is not None and layer not in adata.layers:
        raise DataError(unknown_name("layer", layer, adata.layers))
    x = adata.X if layer is None else adata.layers[layer]
    if x is None:
        raise DataError("adata.X is None; name the matrix to write with layer=.")
    for axis, frame in (("obs", adata.obs), ("var", adata.var)):
        if not frame.index.is_unique:
            repeated = frame.index[frame.index.duplicated()].unique()
            raise DataError(
                f"adata.{axis}_names repeats {listed(repeated)}; call "
                f"adata.{axis}_names_make_unique() first."
            )
        if "id" in frame.columns:
            raise DataError(
                f"adata.{axis} has a column 'id', the name under which the format keeps "
                f"{axis}_names; rename the column."
            )
    return x


def blocks(x: Any, height: int) -> Iterator[tuple[int, Array]]:
    """(first row, dense rows) of any matrix, at most ``height`` rows at a time."""
    for begin in range(0, x.shape[0], height):
        block = x[begin : begin + height]
        if hasattr(block, "compute"):
            block = block.compute()
        yield begin, block.toarray() if sparse.issparse(block) else np.asarray(block)


def encode(column: pd.Series, axis: str) -> Array:
    """A metadata column as GCTX holds it: numbers, or UTF-8 bytes; missing values as -666."""
    if "/" in str(column.name):
        raise DataError(f"adata.{axis} column {column.name!r}: HDF5 allows no '/' in a name.")
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iub":
        return column.to_numpy()
    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(missing, float(MISSING), numbers)
    texts = column.astype(object).map(str, na_action="ignore").to_numpy(dtype=object)
    texts[missing] = str(MISSING)
    if not all(text.isascii() for text in set(texts)):
        logger.warning(
            "adata.%s column %r has characters outside ASCII, which cmapPy cannot read.",
            axis,
            column.name,
        )
    return _as_bytes(texts)


def _as_bytes(texts: Array) -> Array:
    encoded = [text.encode() for text in texts]
    return np.array(encoded, dtype=f"S{max(map(len, encoded), default=0) or 1}")


def _stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "f":
        return np.dtype(np.float64 if dtype.itemsize > 4 else np.float32)
    if dtype.kind in "iu":
        return dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.int8)
    raise DataError(f"a matrix of {dtype} cannot be written; convert it to numbers.")


def _write_metadata(file: h5py.File, node: str, ids: pd.Index, columns: dict[str, Array]) -> None:
    group = file.create_group(node)
    group.create_dataset("id", data=_as_bytes(ids.astype(str).to_numpy(dtype=object)))
    for name, values in columns.items():
        packed = {"compression": "gzip"} if len(values) else {}
        group.create_dataset(name, data=values, **packed)


def _create_matrix(
    file: h5py.File, shape: tuple[int, int], stored: np.dtype[Any], level: int | None
) -> tuple[h5py.Dataset, int]:
    """The empty matrix, and how many rows to write to it at once: always whole chunks."""
    height = max(1, BLOCK_BYTES // max(1, shape[1] * stored.itemsize))
    if level is None or not all(shape):
        return file.create_dataset(MATRIX, shape=shape, dtype=stored), height
    chunks = (
        min(max(1, CHUNK_BYTES // (shape[1] * stored.itemsize)), shape[0]),
        min(shape[1], CHUNK_BYTES // stored.itemsize),
    )
    packed = {"chunks": chunks, "compression": "gzip", "compression_opts": level}
    height = -(-height // chunks[0]) * chunks[0]
    return file.create_dataset(MATRIX, shape=shape, dtype=stored, **packed), height


def _check_room(part: Path, n_bytes: int) -> None:
    """Say that the disk is full before HDF5 has half a file open."""
    if not part.parent.is_dir():
        raise FileError(f"the folder {str(part.parent)!r} does not exist")
    free = shutil.disk_usage(part.parent).free
    if free < n_bytes + RESERVE_BYTES:
        raise FileError(f"{n_bytes / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")
