"""The matrix and the labels that a stored result was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla.batches._matrix import read_observations
from sigilla.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def read_as_fitted(adata: AnnData, stored: Mapping[str, Any]) -> NDArray[np.float32]:
    """The matrix of ``stored`` (a result in ``uns``), with its features in the order of the fit.

    Raises
    ------
    KeyError
        Its layer or representation is gone.
    DataError
        Some of its genes are gone, or values are NaN or infinite.
    """
    params = stored["params"]
    options = {name: str(params[name]) for name in ("layer", "use_rep") if name in params}
    genes = [str(gene) for gene in stored["genes"]]
    seen = read_observations(adata, **options)
    columns = pd.Index(seen.names).get_indexer(genes)
    missing = [gene for gene, column in zip(genes, columns, strict=True) if column < 0]
    if missing:
        raise DataError(f"genes that the codes were fitted to are gone: {listed(missing)}")
    everything = np.array_equal(columns, np.arange(seen.x.shape[1]))
    return seen.x if everything else np.ascontiguousarray(seen.x[:, columns])


def labels_as_fitted(adata: AnnData, key: str, classes: Sequence[str]) -> NDArray[np.intp]:
    """Position of each observation's class among those of ``uns[key]``, -1 where it has none.

    Raises
    ------
    DataError
        The result was made without labels, or their column is gone.
    """
    label_key = adata.uns[key]["params"].get("label_key")
    if label_key is None:
        raise DataError(
            f"key={key!r} was made without labels: it was not fitted to classes of these "
            "observations; run sg.tl.svqvae(adata, label_key) first"
        )
    if str(label_key) not in adata.obs:
        raise DataError(
            f"key={key!r} was fitted to obs[{str(label_key)!r}], which is gone; put the column back"
        )
    column = adata.obs[str(label_key)].astype("string")
    return np.asarray(pd.Index(classes).get_indexer(column), dtype=np.intp)
