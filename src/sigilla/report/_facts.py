"""What the page says in words and tables, as plain data: no markup, nothing drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla import get
from sigilla.report._held_out import PERTURBAGEN_KEYS, HeldOut
from sigilla.report._pairs import pairs, sentences
from sigilla.report._words import name, percent, signed

if TYPE_CHECKING:
    from anndata import AnnData

    from sigilla.report._pairs import Pairs

_MAX_CELL_LINES = 30
# Fewer pairs than this are told one by one in the table; their quantiles say nothing.
_ENOUGH_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the page and the CSV files are written from."""

    space: str
    correlation: pd.DataFrame
    classes: pd.DataFrame
    pairs: Pairs
    genes: pd.DataFrame | None
    accuracy: pd.DataFrame | None
    composition: list[tuple[str, str]]
    cell_lines: list[tuple[str, int]]
    summary: list[str]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is written beside the page, by file name; an index that has a name is written."""
        found = {
            "pairs.csv": self.pairs.table,
            "code_correlation.csv": self.correlation,
            "nearest_codes.csv": self.classes,
        }
        if self.genes is not None:
            found["top_genes.csv"] = self.genes
        return found


def facts(
    adata: AnnData,
    key: str,
    *,
    space: str | None,
    n_genes: int,
    measured: HeldOut | str,
) -> Facts:
    """Tables and sentences about a fitted AnnData."""
    correlation = get.code_correlation(adata, key, space=space)
    used = space or str(adata.uns[key]["correlation_space"])
    classes = _classes(adata, key, used, measured)
    found = pairs(adata, key, used, dict(zip(classes["class"], classes["nearest"], strict=True)))
    return Facts(
        space=used,
        correlation=correlation,
        classes=classes,
        pairs=found,
        genes=_genes(adata, key, n_genes),
        accuracy=measured.by_class if isinstance(measured, HeldOut) else None,
        composition=_composition(adata, key, classes),
        cell_lines=_cell_lines(adata),
        summary=[
            *sentences(found),
            *_alike(classes, found),
            *_spread(correlation, classes, found),
            *_trust(measured),
        ],
    )


def _classes(adata: AnnData, key: str, space: str, measured: HeldOut | str) -> pd.DataFrame:
    """One row per class, the closest pair first."""
    table = get.nearest_codes(adata, key, space=space)
    table = table.rename(columns={"code": "class"})
    nearest = dict(zip(table["class"], table["nearest"], strict=True))
    table.insert(2, "correlation", 1 - table["distance"])
    table["mutual"] = [nearest.get(nearest[c]) == c for c in table["class"]]
    size = get.class_summary(adata, key)
    table["n"] = size["n"].reindex(table["class"]).to_numpy()
    table["n_nearest"] = size["n_nearest"].reindex(table["class"]).to_numpy()
    right = measured.by_class["value"] if isinstance(measured, HeldOut) else pd.Series(dtype=float)
    table["held_out_accuracy"] = right.reindex(table["class"]).to_numpy(dtype=float)
    return table


def _genes(adata: AnnData, key: str, n_genes: int) -> pd.DataFrame | None:
    if adata.uns[key]["params"].get("use_rep") is not None:
        return None
    return get.top_genes(adata, key, n=n_genes)


def _composition(adata: AnnData, key: str, classes: pd.DataFrame) -> list[tuple[str, str]]:
    stored = adata.uns[key]
    rows = [("Signatures", f"{adata.n_obs:,}"), ("Genes used", f"{len(stored['genes']):,}")]
    label_key = stored["params"].get("label_key")
    labelled = int(classes["n"].sum())
    if label_key is not None:
        sizes = classes["n"]
        rows += [
            ("Classes", f"{len(classes)}, from obs[{str(label_key)!r}]"),
            ("Signatures per class", _range(sizes)),
            ("Signatures without a class", f"{adata.n_obs - labelled:,}"),
        ]
    else:
        rows.append(("Codes", f"{len(classes)}"))
    for column in PERTURBAGEN_KEYS:
        if column in adata.obs:
            rows.append(
                ("Perturbagens (compounds and the like)", f"{adata.obs[column].nunique():,}")
            )
            break
    if "cell_id" in adata.obs:
        rows.append(("Cell lines", f"{adata.obs['cell_id'].nunique():,}"))
    return rows


def _range(sizes: pd.Series) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}, median {sizes.median():,.0f}"


def _cell_lines(adata: AnnData) -> list[tuple[str, int]]:
    if "cell_id" not in adata.obs:
        return []
    counts = adata.obs["cell_id"].astype("string").value_counts()
    shown = [(str(line), int(n)) for line, n in counts.items() if n][:_MAX_CELL_LINES]
    rest = int(counts.iloc[_MAX_CELL_LINES:].sum())
    return [*shown, ("all others", rest)] if rest else shown


def _alike(classes: pd.DataFrame, found: Pairs) -> list[str]:
    mutual = classes[classes["mutual"]].drop_duplicates("correlation").head(4)
    if mutual.empty:
        return []
    first, *others = (
        (
            f"{name(p['class'])} and {name(p['nearest'])}",
            found.r_of(p["class"], p["nearest"], p["correlation"]),
        )
        for p in mutual.to_dict("records")
    )
    said = [f"{first[0]} are the most alike ({first[1]})."]
    if others:
        said.append(f"Other pairs that are each other's nearest: {_joined(others)}.")
    return said


def _joined(pairs: list[tuple[str, str]]) -> str:
    texts = [f"{names} ({r})" for names, r in pairs]
    return texts[0] if len(texts) == 1 else f"{'; '.join(texts[:-1])}; and {texts[-1]}"


def _spread(correlation: pd.DataFrame, classes: pd.DataFrame, found: Pairs) -> list[str]:
    r = correlation.to_numpy()
    pairs = r[np.triu_indices(len(r), k=1)]
    pairs = pairs[np.isfinite(pairs)]
    if len(pairs) < _ENOUGH_PAIRS:
        return []
    low, median, high = np.quantile(pairs, [0.05, 0.5, 0.95])
    said = [
        (
            f"Over all {len(pairs):,} pairs of classes the median correlation is {signed(median)}; "
            f"nine in ten pairs lie between {signed(low)} and {signed(high)}."
        )
    ]
    known = classes.dropna(subset=["distance"])
    alone = known.iloc[-1]
    said.append(
        f"{name(alone['class'])} stands most apart: even its nearest class, "
        f"{name(alone['nearest'])}, "
        f"is at {found.r_of(alone['class'], alone['nearest'], alone['correlation'])}."
    )
    i, j = np.unravel_index(np.nanargmin(r), r.shape)
    if r[i, j] < -0.2:
        a, b = correlation.index[i], correlation.index[j]
        said.append(f"{name(a)} and {name(b)} are the most opposed ({found.r_of(a, b, r[i, j])}).")
    return said


def _trust(measured: HeldOut | str) -> list[str]:
    if isinstance(measured, str):
        return [f"Accuracy on held-out signatures was not measured. {measured}"]
    own, *others = measured.accuracies
    beside = ", ".join(f"{a.method} {percent(a.value)}" for a in others)
    return [
        (
            f"On {measured.n:,} signatures that the model had not seen, the nearest code is right "
            f"for {percent(own.value)} (95 % interval {percent(own.low)} to "
            f"{percent(own.high)}); on the same signatures: {beside}."
        )
    ]
