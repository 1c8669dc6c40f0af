from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster import hierarchy

from sigilla import get
from sigilla.get._classification import contender
from sigilla.pl._contender import contender_name, split_name
from sigilla.pl._figure import INK, TEXT, drawing, readable, saved, size_of
from sigilla.pl._heatmap import similarity_tree

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Cells of more classes than this are too small for numbers.
_MAX_NUMBERED = 40


def confusion(
    adata: AnnData,
    key: str = "classify",
    *,
    split: str | None = None,
    representation: str | None = None,
    classifier: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Which classes are taken for which: where the signatures of each class went.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.classify` was run on.
    key
        Name of the result.
    split, representation, classifier
        As in :func:`sigilla.get.confusion`.
    ax
        Axes to draw in; the colour bar is put beside it. By default a new figure whose size
        follows the number of classes.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes. A row is a true class with the number of its signatures; its cells say, in percent,
    what they were taken for while they were left out, and add up to 100. Classes taken for one
    another stand side by side. Framed cells are right answers. Classes that could not be asked
    about have a column right of the line, where anything was taken for them, and no row.

    Raises
    ------
    KeyError, ValueError
        As :func:`sigilla.get.confusion`.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.classify(adata, representations=["raw"], classifiers=["lda"], n_splits=2)
    >>> ax = sg.pl.confusion(adata)
    """
    chosen = {"split": split, "representation": representation, "classifier": classifier}
    counts = get.confusion(adata, key, **chosen)
    stored = adata.uns[key]
    s, m = contender(stored, **chosen)
    counts = counts.iloc[_order(counts), _order(counts)]
    rows = counts.index[counts.sum(axis=1) > 0]
    # Columns of classes that are asked about first, in the order of the rows.
    others = [c for c in counts.columns if c not in set(rows) and counts[c].any()]
    counts = counts.loc[rows, [*rows, *others]]
    pitch = float(np.clip(6 / counts.shape[1], 0.19, 0.5))
    with drawing(ax, pitch * counts.shape[1], pitch * counts.shape[0]) as main:
        width, height = size_of(main)
        image = _cells(main, counts, min(width / counts.shape[1], height / counts.shape[0]))
        _mark_others(main, len(rows), len(others))
        _colour_bar(main, image)
        right = np.trace(counts.to_numpy()[:, : len(rows)])
        low, high = (
            100 * np.asarray(stored["pooled"][f"accuracy_{end}"])[s, m] for end in ("low", "high")
        )
        n = int(counts.to_numpy().sum())
        name = contender_name(stored["representation"][m], stored["classifier"][m])
        left_out = split_name(str(stored["splits"][s]))
        main.set_title(
            f"{name}; {left_out}\n{100 * right / n:.0f} % of {n} right "
            f"(95 %: {low:.0f} to {high:.0f})",
            loc="left",
            fontsize=9,
            pad=8,
            **TEXT,
        )
    return saved(main, save)


def _order(counts: pd.DataFrame) -> np.ndarray:
    """Classes that are taken for one another side by side."""
    values = counts.to_numpy(dtype=np.float64)
    if len(values) < 3:
        return np.arange(len(values))
    share = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    return hierarchy.leaves_list(similarity_tree(np.minimum((share + share.T) / 2, 1)))


def _cells(ax: Axes, counts: pd.DataFrame, pitch: float) -> AxesImage:
    from matplotlib.patches import Rectangle

    n = counts.sum(axis=1)
    share = 100 * counts.div(n, axis=0).to_numpy()
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=100, interpolation="none", aspect="auto")
    size = float(np.clip(pitch * 72 * 0.62, 3, 9))
    shown = dict(zip(counts.columns, readable(list(counts.columns)), strict=True))
    columns, rows = np.arange(counts.shape[1]), np.arange(counts.shape[0])
    ax.set_xticks(columns, [shown[c] for c in counts.columns], rotation=90, fontsize=size, **TEXT)
    ax.set_yticks(rows, [f"{shown[c]} ({n[c]})" for c in counts.index], fontsize=size, **TEXT)
    ax.set_xlabel("taken for", fontsize=9)
    ax.set_ylabel("true class (signatures)", fontsize=9)
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    for i in rows:
        ax.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.6))
    if counts.shape[1] <= _MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(share):
            if value > 0:
                colour = "white" if value > 50 else INK
                ax.text(
                    column,
                    row,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=size * 0.8,
                )
    return image


def _mark_others(ax: Axes, n_rows: int, n_others: int) -> None:
    """Say why some columns have no row."""
    if not n_others:
        return
    ax.axvline(n_rows - 0.5, color=INK, linewidth=0.8)
    ax.annotate(
        "not asked about: no other compound to learn from",
        (n_rows - 0.5, 1),
        (4, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=7,
    )


def _colour_bar(ax: Axes, image: AxesImage) -> None:
    width, height = size_of(ax)
    tall = min(1.6 / height, 1.0)
    panel = ax.inset_axes((1 + 0.15 / width, 1 - tall, 0.12 / width, tall))
    bar = ax.get_figure(root=True).colorbar(image, cax=panel, ticks=[0, 50, 100])
    bar.set_label("% of the true class", fontsize=8)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)
