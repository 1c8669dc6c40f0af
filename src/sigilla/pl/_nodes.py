from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sigilla import get
from sigilla.pl._figure import drawing, saved
from sigilla.pl._prototypes import by_similarity, value_bar, value_cells

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes


def signature_nodes(
    adata: AnnData,
    key: str = "vae",
    *,
    label_key: str = "pcl",
    threshold: float = 0.5,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """The signature nodes of a VAE: what each class does to each of them.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    label_key, threshold
        As in :func:`sigilla.get.signature_nodes`.
    ax
        Axes to draw in; by default a new figure whose size follows classes and nodes.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes: classes in rows, nodes in columns, each ordered by similarity. Colours are the means
    of the class, centred on 0, and end at the 98th percentile of what is shown.

    Raises
    ------
    KeyError, DataError
        As :func:`sigilla.get.signature_nodes`.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.vae(adata, n_latent=4, max_epochs=2)
    >>> ax = sg.pl.signature_nodes(adata, threshold=0.2)
    """
    table = get.signature_nodes(adata, key, label_key=label_key, threshold=threshold)
    table = table.iloc[by_similarity(table), by_similarity(table.T)]
    height = float(np.clip(3 / len(table), 0.16, 0.3)) * len(table)
    with drawing(ax, 0.2 * table.shape[1], height) as main:
        image = value_cells(main, table, [str(node) for node in table.columns])
        value_bar(main, image, "mean of the class")
        main.set_xlabel("node")
    return saved(main, save)
