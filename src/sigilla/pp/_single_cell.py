"""Single cells as the subject-clustering papers prepare them: size, logarithm, gene filter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sigilla.errors import DataError
from sigilla.pp._strips import choose_matrix
from sigilla.target import target_of

if TYPE_CHECKING:
    from anndata import AnnData

COUNTS = "counts"


def single_cell(
    adata: AnnData,
    *,
    min_cells_fraction: float = 0.05,
    normalize: bool = True,
    target_sum: float | None = None,
    layer: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Log-normalise counts and keep the genes that enough cells express.

    Every cell is brought to the same library size and the logarithm of 1 + value is taken, by
    scanpy's functions; genes found in fewer than 5 % of the cells are removed, as the IF-PCA papers
    do. Works in place like :func:`scanpy.pp.filter_genes`: ``adata`` itself loses the genes.

    Zeros remain after the logarithm, so that no gene is normal within a type of cell, as the
    influential-feature step assumes: it ranks genes by how zero-inflated they are, too, and often
    keeps half of them. On cells, compare with ``select=False``.

    Parameters
    ----------
    adata
        Cells x genes, in memory, dense or sparse.
    min_cells_fraction
        Remove genes found in a smaller fraction of the cells than this.
    normalize
        Bring the cells to one library size. This needs counts. ``False`` is for values that were
        normalised for it before, such as RPKM or TPM.
    target_sum
        Library size after normalisation; ``None`` is the median of the cells. A constant far below
        the sizes at hand, such as 1e4 for full-length reads, shrinks what is weakly expressed.
    layer
        Matrix with the counts, in place of ``X``.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields, of the genes kept:

    ``X``
        log(1 + normalised value), float32, sparse where the matrix was.
    ``layers['counts']``
        The matrix as it was, if ``normalize``.
    ``var['n_cells']``
        Number of cells that express the gene.
    ``uns['log1p']``
        That the logarithm was taken, as scanpy notes it.

    Raises
    ------
    DataError
        Negative, NaN or infinite values; values that are not whole although ``normalize`` needs
        counts; a cell without counts; no gene in enough cells.
    TypeError
        The matrix is backed or lazy.
    ValueError, KeyError
        An option out of its range; a layer that is not there.

    References
    ----------
    Chen, Jin & Ke (2023), Subject clustering by IF-PCA and several recent methods, Front. Genet.
    14:1166404. Wolf, Angerer & Theis (2018), SCANPY, Genome Biology 19:15.

    Examples
    --------
    >>> import anndata as ad, numpy as np, sigilla as sg
    >>> adata = ad.AnnData(np.array([[4, 0, 0], [0, 2, 0], [1, 1, 0.0]]))
    >>> sg.pp.single_cell(adata)
    >>> adata.X.round(2)
    array([[1.1 , 0.  ],
           [0.  , 1.1 ],
           [0.69, 0.69]], dtype=float32)
    >>> adata.layers["counts"].sum(axis=1)
    array([4., 2., 2.])
    """
    import scanpy as sc

    _check_options(min_cells_fraction, target_sum, normalize=normalize)
    matrix = choose_matrix(adata, layer)
    _check_values(matrix, layer, counts=normalize)
    # A product such as 0.07 * 100 may be a rounding above the whole number that it means.
    min_cells = math.ceil(min_cells_fraction * adata.n_obs - 1e-9)
    n_cells = np.asarray((matrix > 0).sum(axis=0)).ravel()
    kept = n_cells >= min_cells
    if not kept.any():
        raise DataError(
            f"none of the {adata.n_vars} genes is found in {min_cells} of {adata.n_obs} cells;"
            f" lower min_cells_fraction={min_cells_fraction}"
        )

    target = target_of(adata, copy=copy)
    matrix = choose_matrix(target, layer)
    if normalize:
        target.layers[COUNTS] = matrix.copy()
    target.X = matrix.astype(np.float32)
    # Library sizes are over all genes: those removed below were read from the cell as well.
    if normalize:
        sc.pp.normalize_total(target, target_sum=target_sum)
    target.uns.pop("log1p", None)
    sc.pp.log1p(target)
    target.uns["log1p"] = {}  # scanpy's base=None would not survive every file
    target.var["n_cells"] = n_cells
    target._inplace_subset_var(kept)  # noqa: SLF001 - as scanpy's filter_genes does
    return target if copy else None


def _check_options(fraction: float, target_sum: float | None, *, normalize: bool) -> None:
    if not 0 <= fraction <= 1:
        raise ValueError(f"min_cells_fraction={fraction} must be from 0 to 1")
    if target_sum is None:
        return
    if not normalize:
        raise ValueError(f"target_sum={target_sum} has no use with normalize=False; drop one")
    if not 0 < target_sum < math.inf:
        raise ValueError(f"target_sum={target_sum} must be above 0, or None for the median cell")


def _check_values(matrix: Any, layer: str | None, *, counts: bool) -> None:
    name = "adata.X" if layer is None else f"layer {layer!r}"
    if not (isinstance(matrix, np.ndarray) or sparse.issparse(matrix)):
        raise TypeError(
            f"{name} is backed or lazy, and removing genes in place needs it in memory:"
            " adata = adata.to_memory()"
        )
    values = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values; drop or fill them in first")
    if (values < 0).any():
        raise DataError(
            f"{name} holds negative values, down to {values.min():g}: these are not counts."
            " Name the matrix with the counts by layer=..."
        )
    if not counts:
        return
    if not np.array_equal(values, np.rint(values)):
        raise DataError(
            f"{name} holds values that are not whole, so these are not counts. Name the matrix with"
            " the counts by layer=..., pass normalize=False for RPKM or TPM, round estimated counts"
            " first (np.rint), and leave out this step if the logarithm was taken already"
        )
    empty = int((np.asarray(matrix.sum(axis=1)).ravel() == 0).sum())
    if empty:
        raise DataError(
            f"{empty} cells of {matrix.shape[0]} have no counts and so no library size;"
            " remove them first: sc.pp.filter_cells(adata, min_counts=1)"
        )
