from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.collections import LineCollection
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from sigilla import get
from sigilla.pl._figure import (
    DIVERGING,
    GREY,
    INK,
    LIGHT_BLUE,
    TEXT,
    drawing,
    readable,
    saved,
    size_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

SPACE_LABEL = {"genes": "Pearson r of decoded prototypes", "latent": "Pearson r of codes"}
# Up to here a cell has room for its number.
_MAX_NUMBERED = 14


def code_heatmap(
    adata: AnnData,
    key: str = "svqvae",
    *,
    space: Literal["genes", "latent"] | None = None,
    cluster: bool = True,
    annotate: bool | pd.DataFrame = True,
    fdr: float | None = 0.05,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Which classes act alike: the correlation of all codes, similar classes side by side.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    space
        Where to correlate; see :func:`sigilla.get.code_correlation`.
    cluster
        Order classes by average linkage on 1 - r with optimal leaf order, and draw the tree;
        otherwise they stand in code order.
    annotate
        Bars beside each class: how many observations have it, and the share of them nearest to
        their own code (:func:`sigilla.get.class_summary`). A table of your own, indexed by class,
        makes a bar of each column: whole numbers as counts, on a log scale, and others as
        fractions of 1.
    fdr
        Mark pairs whose correlation is significant at this false discovery rate, where
        :func:`sigilla.tl.code_correlation` has said so; ``None`` marks none.
    ax
        Axes to draw in; tree, bars and colour bar are put around it. By default a new figure whose
        size follows the number of classes.
    save
        File to write; its ending names the format (``.pdf``, ``.svg``, ``.png``).

    Returns
    -------
    The Axes of the heatmap. Colours run from -1 (blue) over 0 (white) to 1 (red), whatever the
    data; a correlation that is not defined is grey.

    Raises
    ------
    KeyError, DataError, ValueError
        As :func:`sigilla.get.code_correlation`.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> ax = sg.pl.code_heatmap(adata)
    """
    table = get.code_correlation(adata, key, space=space)
    used = str(adata.uns[key]["correlation_space"]) if space is None else space
    tree = similarity_tree(table.to_numpy()) if cluster and len(table) > 2 else None
    order = np.arange(len(table)) if tree is None else hierarchy.leaves_list(tree)
    side = len(table) * float(np.clip(6 / len(table), 0.17, 0.55))
    with drawing(ax, side, side) as main:
        pitch = min(size_of(main)) / len(table)
        sure = significant_pairs(adata, key, used, fdr)
        image = _cells(main, table.iloc[order, order], sure[np.ix_(order, order)], pitch)
        if tree is not None:
            _tree(main, tree, pitch)
        right = 1.02
        bars = _default_bars(adata, key) if annotate is True else annotate
        if bars is not False:
            right = _bars(main, bars.reindex(table.index).iloc[order], pitch)
        note = f"{_mark(len(table))} q \N{LESS-THAN OR EQUAL TO} {fdr:g}" if sure.any() else ""
        _colour_bar(main, image, right, SPACE_LABEL[used], note)
    return saved(main, save)


def significant_pairs(adata: AnnData, key: str, space: str, fdr: float | None) -> NDArray[np.bool_]:
    """Classes x classes in code order; nowhere true where nothing was tested in this space."""
    stored = adata.uns[key]
    stats = stored.get("code_correlation_stats")
    if fdr is None or stats is None or str(stats["params"]["space"]) != space:
        return np.zeros((len(stored["classes"]),) * 2, dtype=bool)
    return np.asarray(np.nan_to_num(stats["qvalue"], nan=np.inf) <= fdr)


def similarity_tree(r: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average linkage on 1 - r, leaves in the order that puts the most similar side by side."""
    distance = 1 - np.nan_to_num((r + r.T) / 2, nan=0.0)
    np.fill_diagonal(distance, 0)
    condensed = squareform(np.clip(distance, 0, None), checks=False)
    return hierarchy.linkage(condensed, method="average", optimal_ordering=True)


def _mark(n_classes: int) -> str:
    """What marks a significant pair: beside a number, or alone where there is no room for one."""
    return "*" if n_classes <= _MAX_NUMBERED else "\N{BLACK CIRCLE}"


def _cells(ax: Axes, table: pd.DataFrame, sure: NDArray[np.bool_], pitch: float) -> AxesImage:
    import matplotlib as mpl

    colours = mpl.colormaps[DIVERGING].with_extremes(bad=GREY)
    image = ax.imshow(table.to_numpy(), cmap=colours, vmin=-1, vmax=1, interpolation="none")
    size = max(3.0, min(10.0, pitch * 72 * 0.64))
    names, at = readable(table.index), np.arange(len(table))
    ax.set_xticks(at, names, rotation=90, fontsize=size, **TEXT)
    ax.set_yticks(at, names, fontsize=size, **TEXT)
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    if len(table) <= _MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.65 else INK
                text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
                text += _mark(len(table)) if sure[row, column] else ""
                ax.text(
                    column, row, text, ha="center", va="center", color=colour, fontsize=size * 0.8
                )
    elif sure.any():
        # Black on white shows on every colour of the scale.
        row, column = np.nonzero(sure)
        dot = {"marker": "o", "s": (pitch * 72 * 0.3) ** 2, "linewidths": pitch * 3}
        ax.scatter(column, row, color="black", edgecolors="white", **dot)
    return image


def _tree(ax: Axes, tree: NDArray[np.float64], pitch: float) -> None:
    height = min(0.9, 0.35 + 0.01 * len(tree)) / _side(ax)
    panel = ax.inset_axes((0, 1 + 0.04 / _side(ax), 1, height))
    drawn = hierarchy.dendrogram(tree, no_plot=True)
    # scipy puts leaves at 5, 15, ...; the heatmap at 0, 1, ...
    x, y = (np.array(drawn["icoord"]) - 5) / 10, np.array(drawn["dcoord"])
    lines = [np.column_stack(pair) for pair in zip(x, y, strict=True)]
    panel.add_collection(LineCollection(lines, colors=INK, linewidths=min(1.0, pitch * 4)))
    panel.set_xlim(*ax.get_xlim())
    panel.set_ylim(0, y.max() * 1.05 or 1)
    panel.set_axis_off()


def _default_bars(adata: AnnData, key: str) -> pd.DataFrame:
    summary = get.class_summary(adata, key)
    if not summary["n"].any():
        return summary[["n_nearest"]].rename(columns={"n_nearest": "nearest to it"})
    names = {"n": "with this label", "on_own_code": "% on own code"}
    return summary[list(names)].rename(columns=names)


def _bars(ax: Axes, table: pd.DataFrame, pitch: float) -> float:
    """Draw one panel per column; returns where they end, in widths of the heatmap."""
    inch = 1 / _side(ax)
    size = max(3.0, min(8.0, pitch * 72 * 0.55))
    at = 1 + 0.08 * inch
    for name, column in table.items():
        values = column.to_numpy(dtype=np.float64)
        counted = column.dtype.kind in "iu"
        panel = _bar_panel(ax, at, 0.5 * inch, str(name))
        length = np.log10(values + 1) if counted else values
        panel.barh(
            np.arange(len(values)),
            np.nan_to_num(length),
            height=0.8,
            color=GREY if counted else LIGHT_BLUE,
        )
        panel.set_xlim(0, max(1.0, length.max() * 1.02) if counted else 1)
        for row, value in enumerate(values):
            text = "–" if np.isnan(value) else f"{value:.0f}" if counted else f"{100 * value:.0f}"
            panel.text(0, row, f" {text}", va="center", fontsize=size)
        at += 0.58 * inch
    return at


def _bar_panel(ax: Axes, left: float, width: float, title: str) -> Axes:
    panel = ax.inset_axes((left, 0, width, 1))
    panel.set_ylim(*ax.get_ylim())
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)
    panel.set_title(title, fontsize=7, rotation=90, pad=4, **TEXT)
    return panel


def _colour_bar(ax: Axes, image: AxesImage, left: float, label: str, note: str) -> None:
    inch = 1 / _side(ax)
    height = min(2.0 * inch, 1.0)
    panel = ax.inset_axes((left + 0.12 * inch, 1 - height, 0.12 * inch, height))
    bar = ax.get_figure(root=True).colorbar(image, cax=panel, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)
    panel.text(0, -0.06, note, transform=panel.transAxes, va="top", fontsize=8)


def _side(ax: Axes) -> float:
    """Inches to a side of the (square) heatmap."""
    return min(size_of(ax))
