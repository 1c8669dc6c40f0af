"""Single-cell files of any common kind, counts kept aside."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
from scipy import sparse

from sigilla.errors import DataError, FileError, listed
from sigilla.io._labels import attach_labels
from sigilla.io._loom import read_loom
from sigilla.io._table import read_table
from sigilla.logging import logger

if TYPE_CHECKING:
    from sigilla.io._labels import Labels

COUNTS = "counts"
TEXT = {".csv", ".tsv", ".txt", ".tab"}


def read_single_cell(path: str | Path, *, labels: Labels | None = None) -> ad.AnnData:
    r"""Read single cells from what the path is.

    Parameters
    ----------
    path
        A 10x folder (``matrix.mtx``, ``barcodes.tsv``, ``features.tsv`` or ``genes.tsv``, packed
        or not), a 10x ``.h5``, an ``.h5ad``, a ``.loom``, or a text
        matrix with genes in rows (``.csv``, ``.tsv``, ``.txt``, ``.gz``).
    labels
        The known type of each cell, as in :func:`sigilla.io.read_table`, or the name of a column
        of ``obs`` that holds it.

    Returns
    -------
    AnnData
        Sets the following fields:

        ``layers["counts"]``
            A copy of ``X`` where that holds counts (whole numbers, none negative).
        ``obs["label"]``
            Where labels were given.

    Raises
    ------
    FileError
        The path is missing, damaged, or of no known kind.
    DataError
        The labels do not fit.

    Examples
    --------
    >>> import tempfile, pathlib, sigilla as sg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "cells.csv"
    ...     _ = path.write_text("gene,c1,c2\nActb,5,0\nSox2,0,7\n")
    ...     adata = sg.io.read_single_cell(path, labels={"c1": "2-cell", "c2": "4-cell"})
    >>> adata.layers["counts"]
    array([[5., 0.],
           [0., 7.]], dtype=float32)
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileError(f"path={str(path)!r} does not exist.")
    try:
        with warnings.catch_warnings():
            # Repeated gene symbols are dealt with below, and told by sigilla's own log.
            warnings.filterwarnings(
                "ignore", message=".*names are not unique", category=UserWarning
            )
            adata = _read(path)
    except (DataError, FileError):
        raise
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise FileError(f"path={str(path)!r} cannot be read: {error}") from error
    for names, unique in (
        (adata.var_names, adata.var_names_make_unique),
        (adata.obs_names, adata.obs_names_make_unique),
    ):
        if not names.is_unique:
            logger.warning("%d names are repeated and were numbered", names.duplicated().sum())
            unique()
    if COUNTS not in adata.layers:
        if _are_counts(adata.X):
            adata.layers[COUNTS] = adata.X.copy()
        else:
            logger.warning("%s holds no counts, so layers['counts'] is not set", path.name)
    attach_labels(adata, labels)
    return adata


def _read(path: Path) -> ad.AnnData:
    if path.is_dir():
        return _read_10x_folder(path)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".h5ad":
        return ad.read_h5ad(path)
    if suffix == ".h5":
        import scanpy as sc

        return sc.read_10x_h5(path)
    if suffix == ".mtx":
        return _read_10x_folder(path.parent)
    if suffix == ".loom":
        return read_loom(path)
    if suffix in TEXT:
        return read_table(path)
    raise FileError(
        f"path={str(path)!r} is of no known kind; known are a 10x folder, .h5, .h5ad, .loom and "
        f"text ({listed(sorted(TEXT))}, also .gz)."
    )


def _read_10x_folder(folder: Path) -> ad.AnnData:
    import scanpy as sc

    matrices = sorted(folder.glob("*matrix.mtx*"))
    if len(matrices) != 1:
        raise FileError(
            f"path={str(folder)!r} is not a 10x folder: it has {len(matrices)} files named "
            f"matrix.mtx, among {listed(sorted(p.name for p in folder.iterdir()))}."
        )
    prefix = matrices[0].name.split("matrix.mtx")[0]
    if matrices[0].suffix != ".gz" and not (folder / f"{prefix}genes.tsv").exists():
        raise FileError(
            f"path={str(folder)!r} holds an unpacked {matrices[0].name} and no {prefix}genes.tsv; "
            f"10x files of this version are read packed: gzip -k {shlex.quote(str(folder))}/*"
        )
    adata: ad.AnnData = sc.read_10x_mtx(folder, prefix=prefix or None)
    return adata


def _are_counts(x: Any) -> bool:
    values = x.data if sparse.issparse(x) else np.asarray(x)
    return bool(np.all(values >= 0) and np.all(values == np.floor(values)))
