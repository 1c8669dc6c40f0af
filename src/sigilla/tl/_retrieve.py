"""The nearest signatures of another data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import require_count, unknown_name
from sigilla.tl._neighbours import Metric, read_neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def retrieve(
    query: AnnData,
    reference: AnnData,
    *,
    n: int = 10,
    metric: Metric = "correlation",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    exclude_same: str | None = None,
    columns: Sequence[str] = (),
) -> pd.DataFrame:
    """Nearest signatures of a reference to each signature of a query.

    Parameters
    ----------
    query, reference
        Signatures x genes. Without ``use_rep`` the genes that both have, by ``var_names``, are
        compared.
    n
        Signatures to return for each query.
    metric
        ``"correlation"`` (1 - Pearson), ``"cosine"`` or ``"euclidean"``. A signature whose values
        are all equal (all 0, for cosine) correlates with nothing: its distance is 1.
    use_rep
        Representation in ``obsm`` of both, such as ``"X_svqvae"``; see
        :func:`sigilla.tl.map_query`.
    layer
        Matrix of both to use in place of ``X``.
    mask_var
        Genes to compare: a boolean column of ``reference.var``, or a mask.
    exclude_same
        Column of both ``obs``; reference signatures with the query's value are passed over. With
        ``"pert_id"`` a compound does not find itself.
    columns
        Columns of ``reference.obs`` to add to the result.

    Returns
    -------
    A DataFrame, nearest first for each query: ``query``, ``rank`` (from 0), ``signature``,
    ``distance`` and ``columns``. Fewer than ``n`` rows where fewer signatures are left.

    Raises
    ------
    KeyError, ValueError
        A column, representation or option that is not there or cannot be.
    DataError
        No gene in common, different dimensions, NaN or infinite values.

    References
    ----------
    Xue, Ding & Lu (2020), npj Syst Biol Appl 6:35 (doi 10.1038/s41540-020-00158-2).

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> found = sg.tl.retrieve(adata[:5], adata, n=2, columns=["pcl"])
    >>> found.shape
    (10, 5)
    >>> bool((found["query"] == found["signature"])[found["rank"] == 0].all())
    True
    """
    require_count("n", n)
    wanted = list(columns)
    for column in wanted:
        if column not in reference.obs:
            raise KeyError(unknown_name("columns", column, reference.obs.columns))
    own = other = None
    if exclude_same is not None:
        own, other = _codes(query, reference, exclude_same)
    spaces = read_neighbours(
        query, reference, metric, use_rep=use_rep, layer=layer, mask_var=mask_var
    )

    n = min(n, reference.n_obs)
    nearest = np.empty((query.n_obs, n), dtype=np.intp)
    distances = np.empty((query.n_obs, n))
    for rows, block in spaces.blocks():
        if own is not None and other is not None:
            same = (own[rows, None] == other) & (own[rows, None] >= 0)
            block[same] = np.inf
        near = np.sort(np.argpartition(block, n - 1, axis=1)[:, :n], axis=1)
        exact = spaces.exact(np.arange(query.n_obs)[rows], near)
        exact[np.isinf(np.take_along_axis(block, near, axis=1))] = np.inf
        order = np.argsort(exact, axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(near, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)

    found = reference.obs.iloc[nearest.ravel()]
    result = pd.DataFrame(
        {
            "query": np.repeat(query.obs_names.to_numpy(), n),
            "rank": np.tile(np.arange(n), query.n_obs),
            "signature": found.index.to_numpy(),
            "distance": distances.ravel(),
            **{column: found[column].array for column in wanted},
        }
    )
    return result.loc[np.isfinite(distances.ravel())].reset_index(drop=True)


def _codes(
    query: AnnData, reference: AnnData, column: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The values of a column of both as numbers, -1 where missing."""
    for argument, adata in (("query", query), ("reference", reference)):
        if column not in adata.obs:
            message = unknown_name("exclude_same", column, adata.obs.columns)
            raise KeyError(f"{message} (columns of {argument}.obs)")
    both = [adata.obs[column].astype(object) for adata in (query, reference)]
    codes = pd.factorize(pd.concat(both, ignore_index=True))[0]
    return codes[: query.n_obs], codes[query.n_obs :]
