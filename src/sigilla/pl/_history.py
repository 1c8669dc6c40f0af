from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from sigilla import get
from sigilla.errors import DataError
from sigilla.pl._figure import GREY, LINES, drawing, saved, size_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

# Metrics that are fractions of observations; the other columns are losses.
_FRACTIONS = ("accuracy",)
_NOT_DRAWN = ("seconds", "perplexity")
# Beyond this ratio of largest to smallest, a linear axis shows one line and a floor.
_LOG_FROM = 30


def history(
    adata: AnnData, key: str = "svqvae", *, ax: Axes | None = None, save: str | Path | None = None
) -> Axes:
    """The course of training: loss, its terms, and accuracy, by epoch.

    Parameters
    ----------
    adata
        A fitted AnnData.
    key
        Name of the result.
    ax
        Axes to draw the losses in; accuracy, where there is one, goes into a panel below it. By
        default a new figure.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes of the losses. Solid lines are the observations trained on, dashed lines those held
    out; the vertical line marks the epoch whose weights were kept.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The model was not fitted here, so that there is no history.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> ax = sg.pl.history(adata)
    """
    table = get.history(adata, key)
    if table.empty:
        raise DataError(f"key={key!r} has no history: its model was loaded, not fitted here")
    best = get.best_epoch(adata, key)
    names = [n for n in table if not n.startswith("val_") and n not in _NOT_DRAWN]
    fractions = [n for n in names if n in _FRACTIONS]
    losses = [n for n in names if n not in _FRACTIONS]
    with drawing(ax, 5.5, 2.8) as main:
        panels = [main]
        _lines(main, table, losses, "loss")
        drawn = table[[n for n in table if n.removeprefix("val_") in losses]]
        if drawn.min().min() > 0 and drawn.max().max() > _LOG_FROM * drawn.min().min():
            main.set_yscale("log")
        if fractions:
            gap = 0.35 / size_of(main)[1]
            panels.append(main.inset_axes((0, -0.6 - gap, 1, 0.6), sharex=main))
            _lines(panels[1], table, fractions, "fraction of observations")
            panels[1].set_ylim(0, 1.02)
            main.tick_params(labelbottom=False)
        for panel in panels:
            panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
            if best is not None:
                panel.axvline(best, color=GREY, linewidth=4, alpha=0.5, zorder=0)
        if best is not None:
            main.annotate(
                f"kept: epoch {best}",
                (best, 1),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                fontsize=8,
            )
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return saved(main, save)


def _lines(ax: Axes, table: pd.DataFrame, names: list[str], label: str) -> None:
    marker = "." if len(table) < 20 else None
    for i, name in enumerate(names):
        colour = LINES[i % len(LINES)]
        width = 2.0 if name == "loss" else 1.2
        shown = "total" if name == "loss" else name.replace("_", " ")
        ax.plot(table.index, table[name], color=colour, linewidth=width, marker=marker, label=shown)
        if f"val_{name}" in table:
            ax.plot(
                table.index,
                table[f"val_{name}"],
                "--",
                color=colour,
                linewidth=width,
                marker=marker,
                label=f"{shown}, held out",
            )
    ax.set_ylabel(label)
