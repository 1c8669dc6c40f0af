from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla import keys
from sigilla.errors import DataError, require_not_negative, unknown_name
from sigilla.labels import as_text

if TYPE_CHECKING:
    from anndata import AnnData


def signature_nodes(
    adata: AnnData, key: str = "vae", *, label_key: str = "pcl", threshold: float = 0.5
) -> pd.DataFrame:
    """The signature nodes of a VAE, and what each class does to them.

    A node (dimension of the latent) is a signature node where the posterior mean of the signatures
    that have a class is far from 0 on average. Xue et al. found 12 among 100, since the KL term of
    their VAE has a beta of 4.9 (``sg.tl.vae(adata, n_latent=100, beta=4.9)``), which leaves few
    nodes in use where signatures are many. At the default, 32 nodes and a beta of 1, all are.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    label_key
        Column of ``obs`` with the class; missing values are signatures without one.
    threshold
        Smallest mean of the absolute value over the signatures with a class.

    Returns
    -------
    Classes x signature nodes: the mean of the class in the node; classes in the order of their
    categories, columns are the numbers of the nodes. A row can be clamped, see
    :func:`sigilla.tl.generate`.

    Raises
    ------
    KeyError
        No latent of that name, or no such column.
    DataError
        No label at all, or no node reaches the threshold.
    ValueError
        ``threshold`` is no number, or below 0.

    References
    ----------
    Xue, Ding & Lu 2020, npj Syst Biol Appl 6:35 (doi 10.1038/s41540-020-00158-2).

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.vae(adata, n_latent=4, max_epochs=2)
    >>> sg.get.signature_nodes(adata, threshold=0.2).index.tolist()
    ['F01a', 'F01b', 'F01c']
    """
    require_not_negative("threshold", threshold)
    where = keys.latent(key)
    if where not in adata.obsm:
        found = [name.removeprefix("X_") for name in adata.obsm if name.startswith("X_")]
        raise KeyError(f"{unknown_name('key', key, found)}; sg.tl.vae(adata) makes obsm['X_vae']")
    if label_key not in adata.obs:
        raise KeyError(unknown_name("label_key", label_key, adata.obs.columns))
    label = adata.obs[label_key]
    label = label.mask(as_text(label).isna())
    if not label.notna().any():
        raise DataError(f"label_key={label_key!r} has no label in {adata.n_obs} observations")
    latent = pd.DataFrame(np.asarray(adata.obsm[where], dtype=np.float64), index=adata.obs_names)
    size = latent[label.notna()].abs().mean()
    nodes = size.index[size > threshold]
    if not len(nodes):
        raise DataError(
            f"no node of {where!r} has a mean absolute value above threshold={threshold};"
            f" the largest is {size.max():.2g}"
        )
    means = latent[nodes].groupby(label, observed=True).mean()
    means.index = pd.Index(means.index.astype(str), name="class")
    return means.rename_axis(columns="node")
