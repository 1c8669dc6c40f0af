from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from sigilla import get
from sigilla.errors import DataError, require_count, unknown_name
from sigilla.pl._figure import DIVERGING, GREY, INK, TEXT, drawing, readable, saved, size_of
from sigilla.pl._prototypes import by_similarity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

# Powers of ten of a false discovery rate; beyond the last one a dot grows no more.
_SHOWN = (1, 2, 4)
_LARGEST = 95.0  # points squared


def gene_sets(
    adata: AnnData,
    key: str = "svqvae",
    *,
    classes: Sequence[str] | None = None,
    n_sets: int = 3,
    max_qvalue: float = 0.05,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """The gene sets that classes raise or lower: classes in rows, their top sets in columns.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.gene_sets` was run on.
    key
        Name of the result.
    classes
        Classes to show; by default those with a set at or below ``max_qvalue``.
    n_sets
        Sets that each class brings: those with the smallest q-values, at most ``max_qvalue``.
    max_qvalue
        Pairs at or below it have a dark edge.
    ax
        Axes to draw in; by default a new figure whose size follows classes and sets.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes: classes and sets ordered by similarity, a dot for each pair. Colour is the normalised
    enrichment score (red: the class raises the set), area grows with -log10 of the q-value up to
    1e-4.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    ValueError
        A class that is not there, or ``n_sets`` below 1.
    DataError
        The enrichment is not there yet, or no set is at or below ``max_qvalue``.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=60, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sets = {"one": list(adata.var_names[:9]), "two": list(adata.var_names[9:20])}
    >>> sg.tl.gene_sets(adata, sets, n_perm=100)
    >>> ax = sg.pl.gene_sets(adata, max_qvalue=1)
    """
    require_count("n_sets", n_sets)
    table = get.gene_sets(adata, key)
    every = list(table["class"].unique())
    for name in classes if classes is not None else ():
        if name not in every:
            raise ValueError(unknown_name("classes", name, every))
    small = table[table["qvalue"] <= max_qvalue]
    shown = list(small["class"].unique()) if classes is None else list(classes)
    top = small[small["class"].isin(shown)].groupby("class", sort=False).head(n_sets)
    if top.empty:
        raise DataError(
            f"no class has a gene set with a q-value of at most max_qvalue={max_qvalue};"
            f" the smallest is {table['qvalue'].min():.2g}. Raise it, or look at"
            " sg.get.gene_sets(adata)"
        )
    nes, qvalue = (
        table.pivot_table(column, "class", "gene_set", sort=False, dropna=False).loc[
            shown, list(top["gene_set"].unique())
        ]
        for column in ("nes", "qvalue")
    )
    nes = nes.iloc[by_similarity(nes.fillna(0)), by_similarity(nes.fillna(0).T)]
    qvalue = qvalue.loc[nes.index, nes.columns]
    width, height = 0.24 * nes.shape[1], 0.24 * len(nes)
    with drawing(ax, max(width, 1.2), max(height, 0.5)) as main:
        dots = _dots(main, nes, qvalue, max_qvalue)
        _legends(main, dots)
    return saved(main, save)


def _dots(ax: Axes, nes: pd.DataFrame, qvalue: pd.DataFrame, most: float) -> PathCollection:
    rows, columns = np.indices(nes.shape)
    values, q = nes.to_numpy().ravel(), qvalue.to_numpy().ravel()
    known = ~np.isnan(values)
    limit = max(2.0, float(np.nanpercentile(np.abs(values), 98)))
    pitch = 72 * min(size_of(ax)[0] / nes.shape[1], size_of(ax)[1] / len(nes))
    dots = ax.scatter(
        columns.ravel()[known],
        rows.ravel()[known],
        s=_area(q[known], pitch),
        c=values[known],
        cmap=mpl.colormaps[DIVERGING],
        vmin=-limit,
        vmax=limit,
        edgecolors=[INK if small else GREY for small in q[known] <= most],
        linewidths=[0.9 if small else 0.3 for small in q[known] <= most],
    )
    size = max(3.0, min(9.0, 0.55 * pitch))
    ax.set_xticks(
        range(nes.shape[1]), readable(list(nes.columns)), rotation=90, fontsize=size, **TEXT
    )
    ax.set_yticks(range(len(nes)), readable(list(nes.index)), fontsize=size, **TEXT)
    ax.set_xlim(-0.6, nes.shape[1] - 0.4)
    ax.set_ylim(len(nes) - 0.4, -0.6)
    ax.tick_params(length=0, pad=2)
    ax.grid(visible=True, color=GREY, linewidth=0.3)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    return dots


def _area(qvalue: np.ndarray, pitch: float) -> np.ndarray:
    power = np.clip(-np.log10(np.maximum(qvalue, 1e-300)), 0.05, _SHOWN[-1])
    return power / _SHOWN[-1] * min(_LARGEST, (0.8 * pitch) ** 2)


def _legends(ax: Axes, dots: PathCollection) -> None:
    wide, high = size_of(ax)
    panel = ax.inset_axes((1 + 0.15 / wide, 1 - 1.1 / high, 0.12 / wide, 1.1 / high))
    bar = ax.get_figure(root=True).colorbar(dots, cax=panel, extend="both")
    bar.set_label("normalised enrichment", fontsize=8)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)
    pitch = 72 * 0.24
    handles = [
        ax.scatter(
            [], [], s=_area(np.array([10.0**-n]), pitch), color=GREY, label=f"q = {10.0**-n:g}"
        )
        for n in _SHOWN
    ]
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1 + 0.08 / wide, 1 - 1.25 / high),
        borderaxespad=0,
        fontsize=7,
        handletextpad=0.2,
    )
