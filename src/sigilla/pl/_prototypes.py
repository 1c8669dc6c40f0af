from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from scipy.cluster import hierarchy

from sigilla import get
from sigilla.errors import unknown_name
from sigilla.pl._figure import DIVERGING, GREY, TEXT, drawing, readable, saved, size_of
from sigilla.pl._heatmap import similarity_tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Columns that a page can show; where classes are many, each one brings fewer genes.
_MAX_GENES = 90


def prototypes(
    adata: AnnData,
    key: str = "svqvae",
    *,
    classes: Sequence[str] | None = None,
    n_genes: int | None = None,
    gene_symbols: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """The decoded codes: how each class moves the genes that some class moves most.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    classes
        Classes to show; all by default.
    n_genes
        Genes that each class brings in either direction; by default as many (1 to 10) as keep the
        plot to about a hundred columns.
    gene_symbols
        Column of ``var`` with gene symbols; ``None`` takes ``var["gene_symbol"]`` where it exists.
    ax
        Axes to draw in; by default a new figure whose size follows classes and genes.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes: classes in rows, genes in columns, each ordered by similarity. Colours are in the
    units of the data, centred on 0, and end at the 98th percentile of what is shown.

    Raises
    ------
    KeyError, DataError, ValueError
        As :func:`sigilla.get.top_genes`; an unknown class.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> ax = sg.pl.prototypes(adata, n_genes=4)
    """
    table = get.prototypes(adata, key)
    for name in classes if classes is not None else ():
        if name not in table:
            raise ValueError(unknown_name("classes", name, table.columns))
    table = table if classes is None else table[list(classes)]
    shown, symbol = _most_moved(adata, key, table, n_genes, gene_symbols)
    rows, columns = by_similarity(shown), by_similarity(shown.T)
    shown = shown.iloc[rows, columns]
    width = 0.145 * shown.shape[1]
    height = float(np.clip(3 / len(shown), 0.16, 0.3)) * len(shown)
    with drawing(ax, width, height) as main:
        image = value_cells(main, shown, [symbol[i] for i in columns], style="italic")
        value_bar(main, image, "decoded value")
    return saved(main, save)


def _most_moved(
    adata: AnnData, key: str, table: pd.DataFrame, n_genes: int | None, gene_symbols: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Classes x the genes that stand out in any of them, and the symbols of those genes."""
    most = 10 if n_genes is None else n_genes
    top = get.top_genes(adata, key, n=most, gene_symbols=gene_symbols)
    top = top[top["class"].isin(table.columns)]
    if n_genes is None:
        fits = [n for n in range(2, most + 1) if top.gene[top["rank"] <= n].nunique() <= _MAX_GENES]
        top = top[top["rank"] <= max(fits, default=1)]
    top = top.drop_duplicates("gene")
    return table.loc[top["gene"]].T, [str(s) for s in top["symbol"]]


def by_similarity(rows: pd.DataFrame) -> list[int]:
    if len(rows) < 3 or rows.shape[1] < 2:
        return list(range(len(rows)))
    values = rows.to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):  # a constant row has no correlation, and needs none
        return list(hierarchy.leaves_list(similarity_tree(np.corrcoef(values))))


def value_cells(ax: Axes, shown: pd.DataFrame, names: list[str], **style: str) -> AxesImage:
    """A cell for each value, coloured about 0; the columns are called ``names``."""
    limit = float(np.nanpercentile(np.abs(shown.to_numpy()), 98)) or 1.0
    colours = mpl.colormaps[DIVERGING].with_extremes(bad=GREY)
    image = ax.imshow(
        shown.to_numpy(),
        cmap=colours,
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="none",
    )
    wide, high = size_of(ax)
    row_size = max(3.0, min(9.0, 72 * 0.64 * high / len(shown)))
    column_size = max(3.0, min(9.0, 72 * 0.64 * wide / shown.shape[1]))
    ax.set_yticks(np.arange(len(shown)), readable(list(shown.index)), fontsize=row_size, **TEXT)
    ax.set_xticks(
        np.arange(shown.shape[1]), names, rotation=90, fontsize=column_size, **style, **TEXT
    )
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    return image


def value_bar(ax: Axes, image: AxesImage, label: str) -> None:
    """The colours of :func:`value_cells`, right of them."""
    wide, high = size_of(ax)
    height = min(1, 1.5 / high)
    panel = ax.inset_axes((1 + 0.12 / wide, 1 - height, 0.12 / wide, height))
    bar = ax.get_figure(root=True).colorbar(image, cax=panel, extend="both")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)
