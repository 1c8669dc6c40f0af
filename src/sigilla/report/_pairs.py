"""Every pair of classes: how alike, how sure, and what that says in plain words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla import get
from sigilla.report._words import correlation, count, name, percent, pvalue, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

FDR = 0.05
_NAMED = 4
_TESTED = ("corrected", "low", "high", "pvalue", "qvalue", "qvalue_perm", "n_a", "n_b", "r_means")
# Digits that are kept: the table in the page and the file beside it hold the same numbers.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Pairs:
    """One row per pair; what makes a pair certain is there where it was computed."""

    table: pd.DataFrame
    sizes: pd.Series = field(default_factory=lambda: pd.Series(dtype=int))
    params: Mapping[str, Any] = field(default_factory=dict)
    n_significant_means: int = 0

    @property
    def tested(self) -> bool:
        """Whether intervals and p-values were computed."""
        return "pvalue" in self.table

    @property
    def n_tested(self) -> int:
        """Pairs that have a p-value."""
        return int(self.table["qvalue"].notna().sum()) if self.tested else 0

    def r_of(self, a: str, b: str, r: float) -> str:
        """The correlation of two classes in a sentence, and whether it could not be tested."""
        return (
            correlation(r) if frozenset((a, b)) in self._known else f"{correlation(r)}, not tested"
        )

    @property
    def _known(self) -> set[frozenset[str]]:
        if not self.tested:
            return set()
        known = self.table[self.table["qvalue"].notna()]
        return {frozenset(pair) for pair in zip(known["class_a"], known["class_b"], strict=True)}

    @property
    def unit(self) -> str:
        """What was resampled."""
        return "perturbagen" if "unit" in self.params else "signature"

    @property
    def level(self) -> str:
        """Coverage of the intervals."""
        return percent(float(self.params.get("level", np.nan)))


def pairs(adata: AnnData, key: str, space: str, nearest: Mapping[str, object]) -> Pairs:
    """The pairs of classes of a result: the most certain first, or else the most alike."""
    stats = adata.uns[key].get("code_correlation_stats", {})
    params = {str(k): v for k, v in stats.get("params", {}).items()}
    # Statistics of another correlation than the page's would contradict its heatmap.
    if (params.get("space"), params.get("method")) != (space, "pearson"):
        table = _untested(get.code_correlation(adata, key, space=space))
        table["nearest"] = _nearest(table, nearest)
        return Pairs(table.map(_rounded))
    found = get.code_correlation_stats(adata, key)
    table = found[["class_a", "class_b", "r", *_TESTED]].copy()
    table["significant"] = table["qvalue"] <= FDR
    table["nearest"] = _nearest(table, nearest)
    names = get.code_correlation(adata, key, space=space).index
    return Pairs(
        table.map(_rounded),
        sizes=pd.Series(np.asarray(stats["n_units"]), index=names),
        params=params,
        n_significant_means=int((found["qvalue_means"] <= FDR).sum()),
    )


def _untested(r: pd.DataFrame) -> pd.DataFrame:
    names = r.index.to_numpy(dtype=object)
    a, b = np.triu_indices(len(names), 1)
    table = pd.DataFrame({"class_a": names[a], "class_b": names[b], "r": r.to_numpy()[a, b]})
    return table.sort_values("r", ascending=False, kind="stable", ignore_index=True)


def _nearest(table: pd.DataFrame, nearest: Mapping[str, object]) -> list[bool]:
    return [
        nearest.get(a) == b or nearest.get(b) == a
        for a, b in zip(table["class_a"], table["class_b"], strict=True)
    ]


def _rounded(value: object) -> object:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


# -- in words ----------------------------------------------------------------------------------


def sentences(found: Pairs) -> list[str]:
    """What the statistics say, and what they cannot say; empty where there are none."""
    if not found.tested:
        return []
    known = found.table.dropna(subset=["qvalue"])
    if known.empty:
        said = [
            (
                "Whether classes are correlated could not be tested: no two classes "
                f"have two or more {found.unit}s each."
            )
        ]
        return _explained(found, said)
    significant = known[known["significant"]]
    said = _significant(found, significant, len(known)) if len(significant) else _none(found, known)
    untested = len(found.table) - len(known)
    if untested:
        said.append(_untested_pairs(found, untested))
    return _explained(found, said)


def _explained(found: Pairs, said: list[str]) -> list[str]:
    """The same, with the terms that a reader may not know explained where the first one stands."""
    meanings = {
        "without noise": (
            f"Without noise: what r would be if each class had any number of {found.unit}s."
        ),
        "perturbagen": "A perturbagen is what cells were treated with, such as a compound.",
    }
    needed = [meaning for term, meaning in meanings.items() if any(term in one for one in said)]
    if not needed:
        return said
    after = 1 + next(i for i, one in enumerate(said) if any(term in one for term in meanings))
    return [*said[:after], " ".join(needed), *said[after:]]


def _significant(found: Pairs, significant: pd.DataFrame, n_tested: int) -> list[str]:
    n = len(significant)
    shown = [_pair(found, row) for row in significant.head(_NAMED).to_dict("records")]
    which = "The most certain are" if n > _NAMED else "It is" if n == 1 else "They are"
    return [
        (
            f"{n:,} of {count(n_tested, 'pair')} of classes that could be tested "
            f"{_is(n)} significantly correlated, at a false discovery rate of {percent(FDR)}."
        ),
        f"{which} {'; '.join(shown)}.",
        (
            f"Significant means: other {found.unit}s of the same classes should be alike"
            f"{_opposed(significant)} too. About one in twenty such pairs may be a false alarm."
        ),
        _beyond_chance(found, significant),
        _beside_means(found),
    ]


def _opposed(significant: pd.DataFrame) -> str:
    return " (or opposed, where r is negative)" if any(significant["r"] < 0) else ""


def _beyond_chance(found: Pairs, significant: pd.DataFrame) -> str:
    """What is left once everything that all perturbagens share is taken for granted."""
    beyond = significant[significant["qvalue_perm"] <= FDR]
    alike = "more alike or opposed" if any(significant["r"] < 0) else "more alike"
    asked = f"{alike} than groups of {found.unit}s that chance puts together"
    rest = (
        f"may share no more than what many {found.unit}s of this data set do, such as a common "
        "response to treatment, or none"
    )
    if beyond.empty:
        if len(significant) == 1:
            return f"The two are not {asked}: they {rest}."
        return f"None of them is {asked}: they {rest}."
    shown = [f"{name(a)} and {name(b)}" for a, b in beyond[["class_a", "class_b"]].to_numpy()]
    which = "; ".join(shown[:_NAMED]) + ("; and others" if len(shown) > _NAMED else "")
    if len(beyond) == len(significant):
        return f"{'All of them' if len(beyond) > 1 else 'The two'} are also {asked}."
    some = "One" if len(beyond) == 1 else f"{len(beyond):,}"
    return f"{some} of them {_is(len(beyond))} also {asked}: {which}. The others {rest}."


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _pair(found: Pairs, row: Mapping[str, Any]) -> str:
    known = np.isfinite(row["corrected"])
    corrected = f"without noise {signed(row['corrected'])}, " if known else ""
    return (
        f"{name(row['class_a'])} and {name(row['class_b'])} ({correlation(row['r'])}, {corrected}"
        f"{found.level} interval {signed(row['low'])} to {signed(row['high'])})"
    )


def _beside_means(found: Pairs) -> str:
    n = found.n_significant_means
    return (
        "Correlations of plain class means, without the code book, give "
        f"{count(n, 'significant pair') if n else 'none'}."
    )


def _none(found: Pairs, known: pd.DataFrame) -> list[str]:
    first = known.iloc[0]
    sizes = found.sizes[found.sizes > 1]
    tested = count(len(known), "pair")
    return [
        (
            f"No pair of classes is significantly correlated at a false discovery rate of "
            f"{percent(FDR)}."
        ),
        (
            "That is no evidence that classes act differently: the test asks whether other "
            f"{found.unit}s of the same classes would be alike too, and the {len(sizes)} classes "
            f"that can be tested have {_range(sizes)} {found.unit}s each. The surest of {tested}, "
            f"{_pair(found, first)}, has p = {pvalue(first['pvalue'])}, which after counting all "
            f"pairs is q = {pvalue(first['qvalue'])}. More {found.unit}s per class would settle it."
        ),
        _beside_means(found),
    ]


def _range(sizes: pd.Series) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,} (median {sizes.median():g})"


def _untested_pairs(found: Pairs, untested: int) -> str:
    small = int((found.sizes < 2).sum())
    return (
        f"{count(untested, 'further pair')} could not be tested: {small:,} of "
        f"{len(found.sizes):,} classes have fewer than two {found.unit}s, and nothing tells what "
        "another one would do."
    )
