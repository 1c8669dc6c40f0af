from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from sigilla import get
from sigilla.errors import DataError, unknown_name
from sigilla.pl._figure import BLUE, GREY, TEXT, drawing, readable, saved, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes

# What pp.signature_quality and the LINCS releases call strength and reproducibility of a signature,
# with how a reader knows it. The first of each row that is there is drawn.
_MEASURES = (
    ("tas", "distil_ss", "ss_ngene"),
    ("cc_q75", "distil_cc_q75", "distil_cc_median"),
)
_TITLES = {
    "tas": "activity score (TAS)",
    "distil_ss": "signature strength",
    "ss_ngene": "genes changed",
    "cc_q75": "replicate correlation",
    "distil_cc_q75": "replicate correlation",
    "distil_cc_median": "replicate correlation",
}
_WIDTH, _GAP = 1.7, 0.25
# Beyond this ratio of class sizes, small classes vanish on a linear axis.
_SYMLOG_FROM = 30


def class_quality(
    adata: AnnData,
    key: str = "svqvae",
    *,
    accuracy: pd.DataFrame | None = None,
    columns: Sequence[str] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """What each class rests on: its observations, how its code is used, how strong they are.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    accuracy
        Indexed by class: ``value`` with its interval ``low`` to ``high``, fractions of 1, such as
        the accuracy on held-out observations. By default the share of a class's observations that
        are nearest to its own code, without an interval.
    columns
        Numeric columns of ``obs`` to show by class, as median and quartiles. By default those of
        :func:`sigilla.pp.signature_quality` and of the LINCS releases that are there: strength
        (``tas``, ``distil_ss``) and correlation of replicates (``cc_q75``, ``distil_cc_q75``).
    ax
        Axes to draw the first panel in; the others stand to its right. By default a new figure
        whose size follows the number of classes.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes of the first panel: a bar for the observations with the class's label, a dot for those
    whose nearest code is the class's. The largest class stands on top.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``, or no such column of ``obs``.
    DataError
        The method has no codes, or a column holds no numbers.
    FileError
        ``save`` cannot be written.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> ax = sg.pl.class_quality(adata)
    """
    usage = get.class_summary(adata, key)
    usage = usage.sort_values(["n", "n_nearest"], ascending=False, kind="stable")
    shown = _default_columns(adata) if columns is None else list(columns)
    measured = {_TITLES.get(c, c): _by_class(adata, key, c, usage.index) for c in shown}
    if accuracy is not None:
        measured = {"right when held out": accuracy.reindex(usage.index)} | measured
    elif usage["on_own_code"].notna().any():
        own = pd.DataFrame(dict.fromkeys(("value", "low", "high"), usage["on_own_code"]))
        measured = {"nearest to own code": own} | measured
    pitch = float(np.clip(5 / len(usage), 0.17, 0.3))
    with drawing(ax, _WIDTH, pitch * len(usage)) as main:
        _usage(main, usage, pitch)
        inch = 1 / size_of(main)[0]
        for i, (title, table) in enumerate(measured.items(), start=1):
            box = (i * (_WIDTH + _GAP) * inch, 0, _WIDTH * inch, 1)
            _ranges(main.inset_axes(box, sharey=main), title, table)
    return saved(main, save)


def _default_columns(adata: AnnData) -> list[str]:
    found = [[c for c in names if _has_numbers(adata, c)] for names in _MEASURES]
    return [names[0] for names in found if names]


def _has_numbers(adata: AnnData, column: str) -> bool:
    return (
        column in adata.obs
        and pd.api.types.is_numeric_dtype(adata.obs[column])
        and bool(adata.obs[column].notna().any())
    )


def _by_class(adata: AnnData, key: str, column: str, classes: pd.Index) -> pd.DataFrame:
    """Median and quartiles of a column: by label, or by nearest code where labels are not known."""
    if column not in adata.obs:
        raise KeyError(unknown_name("columns", column, adata.obs.columns))
    if not _has_numbers(adata, column):
        raise DataError(f"obs[{column!r}] holds no numbers; leave it out of columns")
    label_key = str(adata.uns[key]["params"].get("label_key", key))
    group = adata.obs[label_key if label_key in adata.obs else key].astype("string")
    by_class = adata.obs[column].astype(float).groupby(group)
    at = {"value": 0.5, "low": 0.25, "high": 0.75}
    return pd.DataFrame({name: by_class.quantile(q) for name, q in at.items()}).reindex(classes)


def _usage(ax: Axes, usage: pd.DataFrame, pitch: float) -> None:
    at = np.arange(len(usage))
    ax.set_ylim(len(usage) - 0.5, -0.5)
    size = max(3.0, min(8.0, pitch * 72 * 0.6))
    ax.set_yticks(at, readable(usage.index), fontsize=size, **TEXT)
    ax.barh(at, usage["n"], height=0.8, color=GREY, label="with its label")
    ax.plot(usage["n_nearest"], at, "o", color=BLUE, markersize=4, label="nearest to its code")
    ax.tick_params(axis="y", length=0)
    if usage["n"].max() > _SYMLOG_FROM * max(1, usage["n"].min()):
        ax.set_xscale("symlog", linthresh=10)
        ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set_xlim(left=0)
    ax.set_xlabel("observations")
    above = 1 + 0.05 / (pitch * len(usage))
    ax.legend(loc="lower left", bbox_to_anchor=(0, above), fontsize=7, borderpad=0)


def _ranges(ax: Axes, title: str, table: pd.DataFrame) -> None:
    """A dot and its range per class; nothing where it was not measured."""
    known = np.flatnonzero(table["value"].notna())
    part = table.iloc[known]
    ax.hlines(known, part["low"], part["high"], color=BLUE, linewidth=1.2)
    ax.plot(part["value"], known, "o", color=BLUE, markersize=4)
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    if title.startswith(("right", "nearest")):
        ax.set_xlim(-0.03, 1.03)
    ax.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(title, **TEXT)
