from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla import keys
from sigilla.errors import DataError, require_count, unknown_name
from sigilla.get._stored import classes, result_with_codes

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def prototypes(adata: AnnData, key: str = "svqvae") -> pd.DataFrame:
    """The decoded codes: one expression profile per class, in the units of the data.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.

    Returns
    -------
    Genes x classes; genes that the model does not use are left out.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The method has no codes, or was fitted on a representation that has no genes.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.get.prototypes(adata).shape
    (30, 3)
    """
    stored = result_with_codes(adata, key)
    where = keys.prototypes(key)
    if where not in adata.varm:
        used = stored["params"].get("use_rep")
        reason = (
            f"was fitted on use_rep={str(used)!r}, whose features are no genes"
            if used is not None
            else f"has no adata.varm[{where!r}]: fit again, or copy it with the rest"
        )
        raise DataError(f"key={key!r} {reason}")
    table = pd.DataFrame(
        np.asarray(adata.varm[where]),
        index=adata.var_names,
        columns=pd.Index(classes(stored), name="class"),
    )
    return table[_used(adata, key)]


def top_genes(
    adata: AnnData, key: str = "svqvae", *, n: int = 10, gene_symbols: str | None = None
) -> pd.DataFrame:
    """The genes that each class's prototype raises and lowers most.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    n
        Genes per class and direction, at most: ``"up"`` holds positive values only, ``"down"``
        negative ones.
    gene_symbols
        Column of ``var`` with gene symbols; ``None`` takes ``var["gene_symbol"]`` where it exists
        and the gene's own name otherwise.

    Returns
    -------
    Columns ``class``, ``direction``, ``rank`` (from 1), ``gene`` (name in ``var``), ``symbol`` and
    ``value`` (in the units of the data), in code order.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``, or there is no such column.
    DataError
        The method has no codes, or was fitted on a representation that has no genes.
    ValueError
        ``n`` is below 1.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.get.top_genes(adata, n=1).direction.tolist()
    ['up', 'down', 'up', 'down', 'up', 'down']
    """
    require_count("n", n)
    table = prototypes(adata, key)
    shown = symbols(adata, gene_symbols)[_used(adata, key)]
    parts = []
    for name, values in zip(table.columns, table.to_numpy().T, strict=True):
        order = np.argsort(values, kind="stable")
        extremes = {
            "up": order[::-1][: min(n, int((values > 0).sum()))],
            "down": order[: min(n, int((values < 0).sum()))],
        }
        parts += [
            pd.DataFrame(
                {
                    "class": name,
                    "direction": direction,
                    "rank": np.arange(1, len(genes) + 1),
                    "gene": table.index[genes],
                    "symbol": shown[genes],
                    "value": values[genes],
                }
            )
            for direction, genes in extremes.items()
        ]
    return pd.concat(parts, ignore_index=True)


def symbols(adata: AnnData, gene_symbols: str | None = None) -> NDArray[np.object_]:
    """A name to show for each gene of ``var``; where the symbol is missing, the gene's own."""
    names = adata.var_names.to_numpy(dtype=object)
    if gene_symbols is None and "gene_symbol" not in adata.var:
        return names
    column = "gene_symbol" if gene_symbols is None else gene_symbols
    if column not in adata.var:
        raise KeyError(unknown_name("gene_symbols", column, adata.var.columns))
    shown = adata.var[column].astype("string").fillna("").str.strip().to_numpy(dtype=object)
    return np.where(shown != "", shown, names)


def _used(adata: AnnData, key: str) -> NDArray[np.bool_]:
    return ~np.isnan(np.asarray(adata.varm[keys.prototypes(key)])).all(axis=1)
