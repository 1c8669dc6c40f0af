"""The plots as SVG in data URIs, with the words that replace them for who cannot see them."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt

from sigilla import pl
from sigilla.report._words import signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from matplotlib.axes import Axes

    from sigilla.report._facts import Facts

# Text stays text, so that the reader's own fonts draw any script; ids and dates do not change
# between two runs on the same data.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "sigilla"}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image for the page: data URI, natural width in CSS pixels, alternative text."""

    uri: str
    width: int
    alt: str


def pictures(adata: AnnData, key: str, facts: Facts) -> dict[str, Picture]:
    """All pictures of the page by name; one that does not apply is left out."""
    k = len(facts.correlation)
    first = facts.classes.iloc[0]
    found = {
        "heatmap": _picture(
            lambda: pl.code_heatmap(adata, key, space=facts.space, annotate=_bars(facts)),
            f"Heatmap of the correlation between {k} classes, similar classes side by side. "
            f"The highest is {first['class']} with {first['nearest']}, "
            f"r = {signed(first['correlation'])}. The table of classes and "
            "code_correlation.csv hold the numbers.",
        ),
        "graph": _picture(
            lambda: pl.code_graph(adata, key, space=facts.space),
            f"Graph with an arrow from each of {k} classes to its nearest; the table of classes "
            "holds the same pairs.",
        ),
    }
    if facts.pairs.n_tested:
        found["intervals"] = _picture(
            lambda: pl.code_intervals(adata, key),
            "Correlation and interval of the surest pairs of classes, of codes and of class means; "
            "the table of pairs and pairs.csv hold the numbers.",
        )
    if facts.genes is not None:
        found["genes"] = _picture(
            lambda: pl.prototypes(adata, key),
            "Heatmap of decoded values, classes by their most changed genes; the table of genes "
            "and top_genes.csv hold the largest.",
        )
    found["quality"] = _picture(
        lambda: pl.class_quality(adata, key, accuracy=facts.accuracy),
        f"Signatures with the label of each of {k} classes and nearest to its code, and how well "
        "they are told; the table of classes holds the numbers.",
    )
    if len(adata.uns[key]["history"]):
        found["history"] = _picture(
            lambda: pl.history(adata, key), "Losses and accuracy by epoch of training."
        )
    return found


def _bars(facts: Facts) -> pd.DataFrame | bool:
    table = facts.classes.set_index("class")
    if not table["n"].any():
        return True
    bars = {"signatures": table["n"]}
    if facts.pairs.unit == "perturbagen":
        bars = {"perturbagens": facts.pairs.sizes.reindex(table.index)} | bars
    if table["held_out_accuracy"].notna().any():
        bars["% right, held out"] = table["held_out_accuracy"]
    return pd.DataFrame(bars)


def _picture(draw: Callable[[], Axes], alt: str) -> Picture:
    with warnings.catch_warnings():
        # The page leaves text to the browser, which has the glyph.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        # Drawn outside of the context, which would undo what a notebook switches on with its
        # first figure.
        figure = draw().get_figure(root=True)
        try:
            content = io.BytesIO()
            with mpl.rc_context(_SVG):
                figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)
    coded = base64.b64encode(content.getvalue()).decode("ascii")
    width = round(96 * figure.get_size_inches()[0])
    return Picture(f"data:image/svg+xml;base64,{coded}", width, alt)
