from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import DataError
from sigilla.get._stored import classes, result_with_codes

if TYPE_CHECKING:
    from anndata import AnnData


def gene_sets(adata: AnnData, key: str = "svqvae") -> pd.DataFrame:
    """What :func:`sigilla.tl.gene_sets` found, one row per class and gene set.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.gene_sets` was run on.
    key
        Name of the result.

    Returns
    -------
    For each class, in code order, the most certain first: ``class``, ``gene_set``; ``es``, the
    enrichment score (above 0: the class raises the set); ``nes``, the same over the mean of random
    sets; ``pvalue`` and ``qvalue`` (false discovery rate over all classes and sets); ``n_found`` of
    the set's ``n_genes``; ``leading``, the genes that make the score, joined by ``;``.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The method has no codes, or the enrichment is not there yet.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=60, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sets = {"one": list(adata.var_names[:9]), "two": list(adata.var_names[9:20])}
    >>> sg.tl.gene_sets(adata, sets, n_perm=100)
    >>> sg.get.gene_sets(adata).shape
    (6, 9)
    """
    stored = result_with_codes(adata, key)
    if "gene_sets" not in stored:
        raise DataError(
            f"key={key!r} has no gene_sets; run sg.tl.gene_sets(adata, ..., key={key!r}) first"
        )
    found = stored["gene_sets"]
    names = np.asarray(found["names"], dtype=object)
    shape = np.shape(found["es"])
    of_class, of_set = (index.ravel() for index in np.indices(shape))
    table = pd.DataFrame(
        {"class": np.array(classes(stored), dtype=object)[of_class], "gene_set": names[of_set]}
        | {name: np.ravel(found[name]) for name in ("es", "nes", "pvalue", "qvalue")}
        | {name: np.asarray(found[name])[of_set] for name in ("n_found", "n_genes")}
        | {"leading": np.ravel(found["leading"])}
    )
    order = np.lexsort((-table["nes"].abs(), table["pvalue"], of_class))
    return table.iloc[order].reset_index(drop=True)
