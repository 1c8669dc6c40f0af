"""What all plots share: names that fit, figures that grow with their content, files."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib import pyplot as plt

from sigilla.errors import listed
from sigilla.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Names are data: a "$" in one is a dollar sign, not mathematics.
TEXT = {"parse_math": False, "usetex": False}
# Blue and grey that stay apart in all common forms of colour blindness (Paul Tol's "bright").
BLUE, LIGHT_BLUE, GREY, INK = "#4477AA", "#A9BFD8", "#BBBBBB", "#333333"
LINES = ("#333333", "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
DIVERGING = "RdBu_r"

_PAD = 0.12
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.unicode_minus": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@contextmanager
def drawing(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """The Axes to draw in, in sigilla's style: the caller's, or one of that size in inches.

    An own figure takes the size of what was drawn, so that no label is cut. It is pyplot's, as a
    notebook or ``plt.show`` expects.
    """
    # Outside of the context: the first figure of a session may start pyplot's backend, and what
    # that sets, such as a notebook's showing of figures, must outlast the context.
    figure = plt.figure(figsize=(width, height)) if ax is None else None
    with mpl.rc_context(_STYLE):
        if figure is None:
            yield ax
            return
        ax = figure.add_axes((0, 0, 1, 1))
        yield ax
        _fit_to_content(figure, ax)


def _fit_to_content(figure: Figure, ax: Axes) -> None:
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    new_width, new_height = box.width + 2 * _PAD, box.height + 2 * _PAD
    figure.set_size_inches(new_width, new_height)
    left, bottom = (_PAD - box.x0) / new_width, (_PAD - box.y0) / new_height
    ax.set_position((left, bottom, width / new_width, height / new_height))


def size_of(ax: Axes) -> tuple[float, float]:
    """Width and height of an Axes in inches."""
    box = ax.get_window_extent().transformed(ax.get_figure(root=True).dpi_scale_trans.inverted())
    return box.width, box.height


def saved(ax: Axes, save: str | Path | None) -> Axes:
    """The Axes, its figure written to ``save`` where that is a path; whole or not at all."""
    if save is not None:
        figure = ax.get_figure(root=True)
        ending = Path(save).suffix.removeprefix(".").lower()
        known = figure.canvas.get_supported_filetypes()
        if ending not in known:
            raise ValueError(
                f"save={str(save)!r}: the ending names the format, one of {listed(known, 20)}"
            )
        with replacing(save, argument="save") as part:
            figure.savefig(part, format=ending, dpi=200, bbox_inches="tight")
    return ax


def readable(names: Sequence[str], width: int = 40) -> list[str]:
    """Class names as a plot shows them, in the same order; the tables keep the names as they are.

    Where all names have the same first word, as in ``CP_MEK_INHIBITOR``, it goes; underscores
    become spaces where no name has spaces of its own; a long name ends in an ellipsis, with a
    number where two would look the same.

    Examples
    --------
    >>> readable(["CP_MEK_INHIBITOR", "CP_SRC_INHIBITOR"])
    ['MEK INHIBITOR', 'SRC INHIBITOR']
    >>> readable(["mTOR inhibitor, first", "mTOR inhibitor, second"], width=12)
    ['mTOR inhi…#1', 'mTOR inhi…#2']
    """
    shown = [" ".join("".join(c if c.isprintable() else " " for c in n).split()) for n in names]
    if not any(" " in n for n in shown):
        words = [n.split("_") for n in shown]
        if len(words) > 1 and all(len(w) > 1 and w[0] == words[0][0] for w in words):
            words = [w[1:] for w in words]
        spaced = [" ".join(" ".join(w).split()) for w in words]
        shown = spaced if len(set(spaced)) == len(set(shown)) else shown
    short = [n if len(n) <= width else f"{n[: width - 1].rstrip()}…" for n in shown]
    alike, seen = Counter(short), Counter[str]()
    for i, text in enumerate(short):
        if text != shown[i] and alike[text] > 1:
            seen[text] += 1
            mark = f"…#{seen[text]}"
            short[i] = f"{shown[i][: width - len(mark)].rstrip()}{mark}"
    return short
