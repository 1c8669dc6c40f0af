"""Facts and pictures into one HTML file that needs nothing else and asks nobody."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from sigilla.report._held_out import MIN_SIZE, N_FOLDS, HeldOut
from sigilla.report._pair_rows import pair_table
from sigilla.report._words import percent, signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sigilla.report._facts import Facts
    from sigilla.report._figures import Picture

_DESCRIBED = {
    "pairs.csv": "every pair of classes, with what makes it certain",
    "code_correlation.csv": "Pearson correlation of every pair of classes",
    "nearest_codes.csv": "one row per class: nearest class, correlation, size, held-out accuracy",
    "top_genes.csv": "the most raised and lowered genes of each class, with values",
    "fitted.h5ad": "the data with codes, distances and the model; opens in Python (anndata) and R",
}

# What is correlated, and in one sentence what that is.
_WHERE = {
    "genes": (
        "decoded prototypes, gene by gene",
        "A prototype is the expression profile that the model makes of a class's code.",
    ),
    "latent": (
        "codes in the latent space",
        "A code is the point that stands for a class among the coordinates that the model learned.",
    ),
}


def render(
    *,
    title: str,
    told: Facts,
    measured: HeldOut | str,
    drawn: Mapping[str, Picture],
    origin: Sequence[tuple[str, Sequence[tuple[str, str]]]],
    method: str,
    files: Sequence[str],
) -> str:
    """The page. Whatever came from data is escaped by the template engine."""
    from sigilla.models import METHODS

    genes = _genes(told)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            method=METHODS[method],
            told=told,
            rows=told.classes.astype(object).where(told.classes.notna(), None).to_dict("records"),
            pairs_of=pair_table(told.pairs),
            genes=genes,
            measured=measured if isinstance(measured, HeldOut) else None,
            not_measured=measured if isinstance(measured, str) else "",
            n_folds=N_FOLDS,
            min_size=MIN_SIZE,
            drawn=drawn,
            origin=origin,
            files=[(name, _DESCRIBED[name]) for name in files],
            where=_WHERE[told.space],
            # Numbers, as a class may be called anything.
            anchors={name: f"class-{i}" for i, (name, _) in enumerate(genes, start=1)},
        )
    )


def environment() -> jinja2.Environment:
    """Where the templates are; whatever is put into one is escaped."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("sigilla.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {
        "signed": signed,
        "percent": percent,
        "digest": _digest,
        "breakable": _breakable,
    }
    return found


def _genes(told: Facts) -> list[tuple[str, dict[str, list[tuple[str, float]]]]]:
    """For each class its raised and lowered genes, by symbol, the largest first."""
    if told.genes is None:
        return []
    shown: dict[str, dict[str, list[tuple[str, float]]]] = {
        name: {"up": [], "down": []} for name in told.correlation.index
    }
    for row in told.genes.itertuples(index=False):
        shown[row[0]][row.direction].append((str(row.symbol), float(row.value)))
    return list(shown.items())


def _breakable(name: str) -> Markup:
    """A name that may wrap after an underscore; copied or searched, it is what it was."""
    return Markup("_<wbr>").join(name.split("_"))


def _digest(script: str) -> str:
    """The name by which the page's policy admits this script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
