from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sigilla import get
from sigilla.errors import DataError, require_count
from sigilla.pl._figure import BLUE, GREY, INK, TEXT, drawing, readable, saved

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

_WIDTH, _PITCH = 3.6, 0.3
# Class means stand just below the codes of the same pair.
_BELOW = 0.24
_NAME = 26


def code_intervals(
    adata: AnnData,
    key: str = "svqvae",
    *,
    n: int = 20,
    fdr: float = 0.05,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """The pairs of classes that are surest to be correlated, with their intervals.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.code_correlation` was run on.
    key
        Name of the result.
    n
        Pairs to show, at most; 1 or more.
    fdr
        False discovery rate up to which a pair is significant.
    ax
        Axes to draw in; by default a new figure whose height follows the number of pairs.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes. For each pair, the surest on top, the correlation of the codes without noise and its
    interval in blue, that of the class means below it in grey. A dot is filled where the
    correlation is significant (it is not 0), and a diamond where the pair is also more alike than
    groups of perturbagens that chance puts together.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The statistics are not there yet, or no pair could be tested.
    ValueError
        ``n`` is less than 1.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[150, 150, 150], n_genes=30)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.tl.code_correlation(adata, n_boot=50, n_perm=50)
    >>> ax = sg.pl.code_intervals(adata)
    """
    require_count("n", n)
    table = get.code_correlation_stats(adata, key).dropna(subset=["qvalue"]).head(n)
    if table.empty:
        raise DataError(
            f"key={key!r}: no pair could be tested, for no two classes have two perturbagens each"
        )
    with drawing(ax, _WIDTH, _PITCH * len(table)) as main:
        at = np.arange(len(table))
        means = table.filter(like="_means").rename(columns=lambda c: c.removesuffix("_means"))
        main.axvline(0, color=INK, linewidth=0.8)
        _ranges(main, at + _BELOW, means, GREY, "class means", fdr)
        _ranges(main, at, table, BLUE, "codes", fdr)
        main.set_xlim(-1.03, 1.03)
        main.set_ylim(len(table) - 0.4, -0.6)
        main.set_yticks(at, _names(table), fontsize=8, **TEXT)
        main.tick_params(axis="y", length=0)
        main.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        main.set_axisbelow(True)
        main.set_xlabel("correlation without noise, and its interval")
        main.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0.2)
    return saved(main, save)


def _names(table: pd.DataFrame) -> list[str]:
    names = readable([*table["class_a"], *table["class_b"]], _NAME)
    return [f"{a}  \N{EN DASH}  {b}" for a, b in zip(names, names[len(table) :], strict=False)]


def _ranges(
    ax: Axes, at: np.ndarray, table: pd.DataFrame, colour: str, label: str, fdr: float
) -> None:
    ax.hlines(at, table["low"], table["high"], color=colour, linewidth=1.6, label=label)
    significant = (table["qvalue"] <= fdr).to_numpy()
    beyond = significant & (table["qvalue_perm"] <= fdr).to_numpy()
    for chosen, marker, inside in (
        (~significant, "o", "white"),
        (significant & ~beyond, "o", colour),
        (beyond, "D", colour),
    ):
        style = {"color": colour, "markerfacecolor": inside, "markersize": 5}
        ax.plot(table["corrected"][chosen], at[chosen], marker, **style)
