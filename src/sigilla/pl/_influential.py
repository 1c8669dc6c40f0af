from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sigilla import keys
from sigilla.errors import DataError, unknown_name
from sigilla.pl._figure import BLUE, GREY, INK, LINES, drawing, saved, size_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def influential_features(
    adata: AnnData,
    key: str = "influential",
    *,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """How the influential genes were chosen: Higher Criticism, p-values and scores, gene by gene.

    Three panels over the same genes, in the order of their p-values: the Higher Criticism
    functional, whose maximum over the genes searched is the threshold (the half in grey is not
    searched); the p-values, beside the line that normal genes would follow; and the
    Kolmogorov-Smirnov scores. The genes kept are left of the vertical line.

    Parameters
    ----------
    adata
        An AnnData on which :func:`sigilla.pp.influential_features`, :func:`sigilla.tl.ifpca` or
        :func:`sigilla.tl.ifvae` was run.
    key
        Name of the selection.
    ax
        Axes to draw the functional in; the other panels are put below it. By default a new figure.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes of the functional.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The scores do not belong to what is stored under ``key``, as after genes were removed.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_rare_weak(n_obs=100, n_vars=1000, strength=2.0)
    >>> sg.pp.influential_features(adata)
    >>> ax = sg.pl.influential_features(adata)
    """
    genes, functional = _stored(adata, key)
    kept = int(genes["kept"].sum())
    rank = np.arange(1, len(genes) + 1)
    with drawing(ax, 5.5, 1.6) as main:
        step = 1 + 0.25 / size_of(main)[1]
        pvalues = main.inset_axes((0, -step, 1, 1), sharex=main)
        scores = main.inset_axes((0, -2 * step, 1, 1), sharex=main)
        searched = (len(rank) + 1) // 2
        main.plot(rank[:searched], functional[:searched], color=BLUE, linewidth=1.2)
        main.plot(rank[searched:], functional[searched:], color=GREY, linewidth=1.2)
        main.set_ylabel("Higher Criticism")
        # Far below zero is as much as saying "no": it must not flatten the maximum.
        peak = max(float(functional[:searched].max()), 1.0)
        main.set_ylim(max(float(functional.min()), -2 * peak), 1.15 * float(functional.max()))
        main.plot(kept, functional[kept - 1], "o", color=LINES[2], markersize=5)
        pvalues.plot(rank, rank / (len(rank) + 1), "--", color=INK, linewidth=1, label="normal")
        # A p-value of zero is one below the smallest that can be told.
        lowest = genes["pvalue"][genes["pvalue"] > 0].min()
        _dots(pvalues, rank, genes["pvalue"].clip(lower=lowest).to_numpy(), kept)
        pvalues.set_yscale("log")
        pvalues.set_ylabel("p-value")
        pvalues.legend(loc="upper left")
        _dots(scores, rank, genes["score"].to_numpy(), kept)
        scores.set_ylabel("KS score")
        scores.set_xlabel("gene, by p-value")
        for panel in (main, pvalues, scores):
            panel.axvline(kept, color=LINES[2], linewidth=1)
        for panel in (main, pvalues):
            panel.tick_params(labelbottom=False)
        # On a log axis a hundred genes of ten thousand are not a sliver.
        main.set_xscale("log")
        main.set_xlim(1, len(rank))
        share = "" if adata.uns[key]["significant"] else ", without evidence for any"
        title = f"{kept:,} of {len(rank):,} genes kept{share}"
        main.set_title(title, loc="left")
    return saved(main, save)


def _dots(ax: Axes, rank: NDArray[np.integer], values: Floats, kept: int) -> None:
    at = rank <= kept
    ax.plot(rank[~at], values[~at], ".", color=GREY, markersize=2.5, rasterized=True)
    ax.plot(rank[at], values[at], ".", color=BLUE, markersize=2.5, rasterized=True)


def _stored(adata: AnnData, key: str) -> tuple[pd.DataFrame, Floats]:
    """Score, p-value and whether kept, of the genes that were scored, by p-value; and HC."""
    if "higher_criticism" not in adata.uns.get(key, {}):
        there = [k for k, v in adata.uns.items() if "higher_criticism" in v]
        raise KeyError(
            f"{unknown_name('key', key, there)}. Run sg.pp.influential_features(adata) first"
        )
    columns = [keys.if_score(key), keys.if_pvalue(key), key]
    lost = [c for c in columns if c not in adata.var]
    if lost:
        raise DataError(f"var has no column {lost[0]!r}; run sg.pp.influential_features again")
    genes = adata.var[columns].set_axis(["score", "pvalue", "kept"], axis=1).dropna()
    functional = np.asarray(adata.uns[key]["higher_criticism"])
    if len(genes) != len(functional):
        raise DataError(
            f"key={key!r} was computed on {len(functional)} genes and adata has {len(genes)} of"
            " them; run sg.pp.influential_features again"
        )
    return genes.sort_values(["pvalue", "score"], ascending=[True, False]), functional
