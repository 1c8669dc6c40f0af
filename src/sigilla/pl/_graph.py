from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from sigilla import get
from sigilla.pl._figure import BLUE, GREY, TEXT, drawing, readable, saved, size_of
from sigilla.pl._heatmap import SPACE_LABEL, significant_pairs
from sigilla.pl._trees import FONT, lay_out

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes

    from sigilla.pl._trees import Node


# Inches of an arrow that its number takes.
_NUMBER = 0.3


def code_graph(
    adata: AnnData,
    key: str = "svqvae",
    *,
    space: Literal["genes", "latent"] | None = None,
    fdr: float | None = 0.05,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """The nearest-code graph: an arrow from each class to the class whose code is most like its.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    space
        Where to correlate; see :func:`sigilla.get.code_correlation`.
    fdr
        Put a star at correlations that are significant at this false discovery rate, where
        :func:`sigilla.tl.code_correlation` has said so; ``None`` puts none.
    ax
        Axes to draw in; by default a new figure whose size follows the number of classes.
    save
        File to write; its ending names the format.

    Returns
    -------
    The Axes. Numbers, and the widths of arrows, are correlations. Each connected part has one
    pair of classes that are each other's nearest (shaded, in its middle); the others line up
    behind the one they point to, the closest on top.

    Raises
    ------
    KeyError, DataError, ValueError
        As :func:`sigilla.get.nearest_codes`.
    FileError
        ``save`` cannot be written.

    References
    ----------
    Xue, Ding & Lu 2019, arXiv:1909.11124

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> ax = sg.pl.code_graph(adata)
    """
    edges = get.nearest_codes(adata, key, space=space)
    names = [str(n) for n in adata.uns[key]["classes"]]
    shown = dict(zip(names, readable(names, width=60), strict=True))
    layout = lay_out(edges, [shown[c] for c in edges["code"]])
    used = str(adata.uns[key]["correlation_space"]) if space is None else space
    sure = significant_pairs(adata, key, used, fdr)
    starred = {(names[i], names[j]) for i, j in zip(*sure.nonzero(), strict=True)}
    with drawing(ax, layout.width, layout.height) as main:
        width, height = size_of(main)
        scale = min(width / layout.width, height / layout.height)
        main.set_xlim(0, layout.width)
        main.set_ylim(0, layout.height)
        main.set_aspect("equal")
        main.set_axis_off()
        main.set_title(
            f"arrow: to the most similar class; number: {SPACE_LABEL[used]}; "
            f"shaded: each other's nearest{f'; *: q ≤ {fdr:g}' if starred else ''}",
            fontsize=8,
            loc="left",
        )
        for node in layout.nodes.values():
            _box(main, node, scale)
        for edge in edges.dropna(subset=["nearest"]).itertuples():
            source, target = layout.nodes[edge.code], layout.nodes[edge.nearest]
            mutual = source.paired and target.paired
            if not mutual or source.x < target.x:
                text = f"{1 - edge.distance:.2f}".replace("-", "\N{MINUS SIGN}")
                text += "*" if (edge.code, edge.nearest) in starred else ""
                _arrow(main, source, target, 1 - edge.distance, text, scale, both=mutual)
    return saved(main, save)


def _box(ax: Axes, node: Node, scale: float) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (node.x - node.width / 2, node.y - node.height / 2),
            node.width,
            node.height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="#DCE6F2" if node.paired else "white",
            edgecolor=BLUE if node.paired else GREY,
            linewidth=(1.4 if node.paired else 0.8) * scale,
            clip_on=False,
        )
    )
    ax.text(
        node.x,
        node.y,
        node.text,
        ha="center",
        va="center",
        fontsize=FONT * scale,
        linespacing=1.1,
        **TEXT,
    )


def _arrow(
    ax: Axes, source: Node, target: Node, r: float, text: str, scale: float, *, both: bool
) -> None:
    side = 1 if target.x > source.x else -1
    start = (source.x + side * source.width / 2, source.y)
    end = (target.x - side * target.width / 2, target.y)
    # Straight as far as the number, which stands on it.
    bend = (start[0] + side * _NUMBER, start[1])
    middle = (bend[0] + end[0]) / 2
    curve = Curve(
        [start, bend, (middle, bend[1]), (middle, end[1]), end],
        [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
    )
    ax.add_patch(
        FancyArrowPatch(
            path=curve,
            arrowstyle="<|-|>" if both else "-|>",
            mutation_scale=7 * scale,
            linewidth=(0.5 + 2.5 * max(r, 0) ** 2) * scale,
            color=BLUE if both else "#888888",
            shrinkA=0,
            shrinkB=0,
            zorder=0.5,
        )
    )
    ax.text(
        (start[0] + end[0]) / 2 if both else start[0] + side * 0.55 * _NUMBER,
        start[1],
        text,
        ha="center",
        va="center",
        fontsize=0.75 * FONT * scale,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6 * scale},
    )
