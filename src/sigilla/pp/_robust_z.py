"""Robust z-scores: each gene against its own plate (level 3 to level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.errors import DataError, listed, unknown_name
from sigilla.pp._replicates import group_codes, read_rows
from sigilla.pp._strips import choose_matrix
from sigilla.target import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

# Makes the MAD of a normal variable its standard deviation.
_MAD_TO_SD = 1.4826


def robust_z(
    adata: AnnData,
    *,
    groupby: str | Sequence[str] | None = None,
    reference: str | NDArray[np.bool_] | None = None,
    reference_key: str = "pert_type",
    min_mad: float = 0.1,
    clip: float | None = 10.0,
    layer: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Robust z-scores, ``(x - median) / (1.4826 MAD)``, of each gene on each plate.

    Median and MAD (the median distance from the median) are those of all wells of the plate
    ("plate control": most compounds do nothing), or of its reference wells ("vehicle control").

    Parameters
    ----------
    adata
        Wells x genes, log expression (level 3). Dense, sparse or dask.
    groupby
        Column or columns of ``obs`` that name the plate; ``None``: all wells are one plate.
    reference
        Wells that median and MAD come from: a value of ``obs[reference_key]`` such as
        ``"ctl_vehicle"``, a boolean column of ``obs``, or a mask. ``None`` takes all wells.
    reference_key
        Column of ``obs`` that ``reference`` is a value of.
    min_mad
        Least MAD, in the units of the data: without it a gene that hardly varies on a plate would
        have enormous scores. 0.1, as in cmapPy, is for log2 expression.
    clip
        Scores beyond this, above or below, become this; ``None`` leaves them.
    layer
        Matrix to use in place of ``X``.
    key_added
        Layer to write to. ``None`` overwrites what was read, as ``sc.pp.scale`` does.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets ``X`` (or ``layers[layer]``, ``layers[key_added]``): dense scores
    in units of a standard deviation, float32 (float64 if the data are). A well whose plate is not
    named has NaN.

    Raises
    ------
    KeyError, ValueError
        A column, layer, value or option that is not there or cannot be; ``adata`` is backed.
    DataError
        A plate without reference wells; NaN or infinite values.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452. Malo et al.
    (2006), Statistical practice in high-throughput screening data analysis, Nat. Biotechnol.
    24:167-175.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, sigilla as sg
    >>> obs = pd.DataFrame({"plate": list("AAABBB")}, index=list("uvwxyz"))
    >>> adata = ad.AnnData(np.array([[5.0], [6.0], [7.0], [9.0], [9.5], [11.0]]), obs)
    >>> sg.pp.robust_z(adata, groupby="plate")
    >>> adata.X.ravel().round(2)
    array([-0.67,  0.  ,  0.67, -0.67,  0.  ,  2.02])
    """
    if adata.isbacked:
        raise ValueError("adata is backed and would be rewritten on disk; use adata.to_memory()")
    if min_mad <= 0:
        raise ValueError(f"min_mad={min_mad!r} must be above 0")
    if clip is not None and clip <= 0:
        raise ValueError(f"clip={clip!r} must be above 0, or None")
    matrix = choose_matrix(adata, layer)
    plates = np.zeros(adata.n_obs, dtype=np.intp)
    if groupby is not None:
        plates, _ = group_codes(adata, groupby)
    chosen = _reference(adata, reference, reference_key)
    _require_reference(adata, plates, chosen)

    dtype = np.float64 if matrix.dtype == np.float64 else np.float32
    scores = np.full(matrix.shape, np.nan, dtype=dtype)
    for plate in range(plates.max() + 1):
        wells = np.flatnonzero(plates == plate)
        values = read_rows(matrix, wells)
        scores[wells] = _scores(values, values[chosen[wells]], min_mad, clip)

    target = target_of(adata, copy=copy)
    where = key_added or layer
    if where is None:
        target.X = scores
    else:
        target.layers[where] = scores
    return target if copy else None


def _scores(
    values: NDArray[np.float64], reference: NDArray[np.float64], min_mad: float, clip: float | None
) -> NDArray[np.float64]:
    median = np.median(reference, axis=0)
    mad = np.median(np.abs(reference - median), axis=0)
    z: NDArray[np.float64] = (values - median) / (_MAD_TO_SD * np.maximum(mad, min_mad))
    return z if clip is None else np.clip(z, -clip, clip)


def _reference(adata: AnnData, reference: Any, reference_key: str) -> NDArray[np.bool_]:
    if reference is None:
        return np.ones(adata.n_obs, dtype=bool)
    if isinstance(reference, str):
        if reference in adata.obs and adata.obs[reference].dtype == bool:
            return np.asarray(adata.obs[reference])
        if reference_key not in adata.obs:
            raise KeyError(unknown_name("reference_key", reference_key, adata.obs.columns))
        labels = adata.obs[reference_key]
        mask = np.asarray(labels == reference)
        if not mask.any():
            choices = labels.dropna().astype(str).unique()
            message = unknown_name("reference", reference, choices)
            raise KeyError(f"{message} (values of obs[{reference_key!r}])")
        return mask
    given = np.asarray(reference)
    if given.dtype != bool or given.shape != (adata.n_obs,):
        raise ValueError(
            f"reference must be {adata.n_obs} booleans, one per well;"
            f" it is of type {given.dtype} and shape {given.shape}"
        )
    return given


def _require_reference(adata: AnnData, plates: NDArray[np.intp], chosen: NDArray[np.bool_]) -> None:
    n_plates = plates.max() + 1
    bare = np.setdiff1d(np.arange(n_plates), plates[chosen])
    if len(bare):
        wells = [adata.obs_names[np.flatnonzero(plates == plate)[0]] for plate in bare]
        raise DataError(
            f"{len(bare)} of {n_plates} plates have no reference well, those of {listed(wells)};"
            " leave them out, or take reference=None"
        )
