from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.get._stored import result

if TYPE_CHECKING:
    from anndata import AnnData

    from sigilla.models import Model


def history(adata: AnnData, key: str = "svqvae") -> pd.DataFrame:
    """The course of training.

    Parameters
    ----------
    adata
        A fitted AnnData.
    key
        Name of the result.

    Returns
    -------
    Indexed by epoch, from 0: ``loss``, its terms, metrics, the same on the observations held out
    (``val_``), and ``seconds`` since the start. A model that was loaded has no rows.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.get.history(adata).index.tolist()
    [0, 1]
    """
    columns = {name: np.asarray(values) for name, values in result(adata, key)["history"].items()}
    table = pd.DataFrame(columns)
    table.index = pd.RangeIndex(len(table), name="epoch")
    return table


def best_epoch(adata: AnnData, key: str = "svqvae") -> int | None:
    """The epoch whose weights were kept.

    Parameters
    ----------
    adata
        A fitted AnnData.
    key
        Name of the result.

    Returns
    -------
    Its index in :func:`history`; ``None`` where nothing was held out (then the last epoch's
    weights are the model's).

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.get.best_epoch(adata) in (0, 1)
    True
    """
    from sigilla.models import method

    name, better = method(str(result(adata, key)["method"])).monitor
    table = history(adata, key)
    if f"val_{name}" not in table:
        return None
    watched = table[f"val_{name}"]
    return int(watched.idxmin() if better == "min" else watched.idxmax())


def model(adata: AnnData, key: str = "svqvae") -> Model:
    """The fitted model: what is in ``uns[key]`` is all of it, also after a trip through a file.

    Parameters
    ----------
    adata
        A fitted AnnData.
    key
        Name of the result.

    Returns
    -------
    A :class:`sigilla.models.Model` in evaluation mode, on the CPU.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.get.model(adata).classes == tuple(adata.uns["svqvae"]["classes"])
    True
    """
    from sigilla.models import method

    stored = result(adata, key)
    description = json.loads(str(stored["model"]))
    return method(description["method"]).restore(description, stored["weights"])
