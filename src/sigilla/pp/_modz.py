"""Consensus signatures: replicates brought together, outliers weighted down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from sigilla.pp._replicates import check_options, consensus, constant_columns, group_codes
from sigilla.pp._signature_quality import measures
from sigilla.pp._strips import choose_genes, choose_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sigilla.pp._replicates import Correlation


def modz(
    adata: anndata.AnnData,
    groupby: str | Sequence[str],
    *,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    metric: Correlation = "spearman",
    min_weight: float = 0.01,
    decimals: int | None = 4,
) -> anndata.AnnData:
    """Consensus signatures of replicates by the moderated z-score (level 4 to level 5).

    A replicate's weight is its mean correlation with the other replicates of its group, so that one
    that agrees with none of them hardly counts. The calculation is cmapPy's.

    Parameters
    ----------
    adata
        Replicates x genes, z-scores. Dense, sparse, backed or dask.
    groupby
        Column or columns of ``obs`` that replicates have in common, such as ``["cell_id",
        "pert_id", "dose", "time"]``. Observations without a label are left out.
    layer
        Matrix to use in place of ``X``.
    mask_var
        Genes that decide the weights and the quality, a boolean column of ``var`` or a mask: the
        landmark genes, where others were inferred. All genes are averaged.
    metric
        Correlation between replicates, ``"spearman"`` or ``"pearson"``.
    min_weight
        Least mean correlation; those below it, negative ones too, count as this.
    decimals
        Weights are rounded as cmapPy rounds them. In groups of hundreds that matters, and they no
        longer add up to 1; ``None`` does not round.

    Returns
    -------
    A new AnnData, groups x genes, sorted by group, named by its labels with ``:`` between them:

    ``X``
        Consensus signatures, in the type of the data. A group of one is passed through.
    ``obs``
        The columns that are constant in every group, and those of
        :func:`sigilla.pp.signature_quality`: ``nsample``, ``cc_q75``, ``ss_ngene``, ``distil_ss``,
        ``tas``.
    ``var``
        As in ``adata``.
    ``uns['modz']``
        ``groupby`` and ``params``.

    Raises
    ------
    KeyError, ValueError
        A column, layer or option that is not there or cannot be.
    DataError
        NaN or infinite values, or no group.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452. Enache et al.
    (2019), The GCTx format and cmap{Py, R, M, J} packages, Bioinformatics 35:1427-1429.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, sigilla as sg
    >>> obs = pd.DataFrame({"drug": list("aaabb"), "well": list("12345")}, index=list("vwxyz"))
    >>> z = np.array([[2, -2, 0, 1], [3, -3, 0, 1], [-2, 2, 1, 0], [1, 2, 3, 4], [2, 4, 6, 8.0]])
    >>> signatures = sg.pp.modz(ad.AnnData(z, obs), "drug")
    >>> signatures.X.round(2)
    array([[ 2.46, -2.46,  0.01,  0.99],
           [ 1.5 ,  3.  ,  4.5 ,  6.  ]])
    >>> signatures.obs[["drug", "nsample", "cc_q75"]].to_numpy().tolist()
    [['a', 3, 0.0], ['b', 2, 1.0]]
    """
    check_options(metric, min_weight)
    genes = choose_genes(adata, mask_var)
    matrix = choose_matrix(adata, layer)
    codes, columns = group_codes(adata, groupby)
    found = consensus(matrix, codes, genes, metric=metric, min_weight=min_weight, decimals=decimals)

    obs = constant_columns(adata.obs, codes)
    names = obs[columns].astype(str).agg(":".join, axis=1)
    obs.index = make_index_unique(pd.Index(names.to_numpy(), dtype=object))
    obs = obs.assign(**measures(found, genes))
    dtype = matrix.dtype if np.issubdtype(matrix.dtype, np.floating) else np.float32
    params: dict[str, Any] = {"metric": metric, "min_weight": min_weight}
    if decimals is not None:
        params["decimals"] = decimals
    if layer is not None:
        params["layer"] = layer
    if isinstance(mask_var, str):
        params["mask_var"] = mask_var
    return anndata.AnnData(
        found.x.astype(dtype),
        obs=obs,
        var=adata.var.copy(),
        uns={"modz": {"groupby": np.array(columns, dtype=object), "params": params}},
    )
