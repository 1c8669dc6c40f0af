from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

from sigilla import get
from sigilla.errors import DataError
from sigilla.get._classification import contender
from sigilla.pl._contender import contender_name, split_name
from sigilla.pl._figure import GREY, LINES, TEXT, drawing, saved

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes


def calibration(
    adata: AnnData,
    key: str = "classify",
    *,
    split: str | None = None,
    representation: str | None = None,
    classifier: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Whether confidences come true: of answers given with 80 %, 80 % should be right.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.classify` was run on.
    key
        Name of the result.
    split
        ``"signatures"`` or ``"perturbagens"``; ``None`` takes the latter where it is there.
    representation, classifier
        Show these only; ``None`` shows all that have probabilities.
    ax
        Axes to draw in; by default a new figure.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes. A point is a tenth of the answers, or 30 where that is more; below the diagonal,
    answers were too sure of themselves. The legend has the expected calibration error (ECE, 15
    bins) in percent, best first; bars are 95 % intervals (Wilson) of the nearest code, or of the
    first contender.

    Raises
    ------
    KeyError
        Nothing of the kind is stored under ``key``.
    ValueError
        No such split or contender.
    DataError
        No contender that was asked for has probabilities.
    FileError
        ``save`` cannot be written.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger 2017, ICML (arXiv:1706.04599)

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.classify(adata, representations=["raw"], classifiers=["lda"], n_splits=2)
    >>> ax = sg.pl.calibration(adata)
    """
    curves = get.calibration(adata, key)
    stored = adata.uns[key]
    s, main_pair = contender(stored, split, representation, classifier)
    used = str(stored["splits"][s])
    error = np.asarray(stored["pooled"]["calibration_error"])[s]
    names = list(zip(stored["representation"], stored["classifier"], strict=True))
    shown = [
        m
        for m in np.argsort(error, kind="stable")
        if np.isfinite(error[m])
        and representation in (None, names[m][0])
        and classifier in (None, names[m][1])
    ]
    if not shown:
        raise DataError("none of these contenders has probabilities, so nothing to be calibrated")
    main_pair = main_pair if main_pair in shown else shown[0]
    with drawing(ax, 3.4, 3.4) as main:
        main.plot([0, 1], [0, 1], color=GREY, linewidth=1, zorder=0)
        for colour, m in zip(cycle(LINES), shown, strict=False):
            mine = curves[
                (curves["split"] == used)
                & (curves["representation"] == names[m][0])
                & (curves["classifier"] == names[m][1])
            ]
            label = f"{contender_name(*names[m])}: {100 * error[m]:.0f}"
            _curve(main, mine, colour, label, bold=m == main_pair)
        main.set(
            xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share of right answers"
        )
        main.set_title(split_name(used), loc="left", **TEXT)
        main.legend(
            title="expected calibration error, %",
            loc="upper left",
            bbox_to_anchor=(1.02, 1),
            alignment="left",
        ).get_title().set_fontsize(8)
    return saved(main, save)


def _curve(ax: Axes, curve: pd.DataFrame, colour: str, label: str, *, bold: bool) -> None:
    x, y = curve["confidence"].to_numpy(), curve["accuracy"].to_numpy()
    ax.plot(
        x,
        y,
        "o-",
        color=colour,
        markersize=4 if bold else 2.5,
        linewidth=2 if bold else 1,
        alpha=1 if bold else 0.7,
        zorder=3 if bold else 2,
        label=label,
    )
    if bold:
        n = curve["count"].to_numpy()
        ends = [
            binomtest(round(share * of), of).proportion_ci(0.95, method="wilson")
            for share, of in zip(y, n.tolist(), strict=True)
        ]
        low, high = np.transpose(ends)
        ax.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.6)
