"""The table of all pairs as the page shows it: what a reader sees beside what is sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from sigilla.report._pairs import FDR
from sigilla.report._words import count, percent, pvalue, signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sigilla.report._pairs import Pairs

# A page opens with the rows that tell most; a reader asks for the others.
_FIRST = 20
_FEW = 30


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers, or of yes and no, and which end of it a first click puts on top."""

    name: str
    title: str
    text: Callable[[Any], str]
    down: bool = True
    number: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A pair, the groups of rows that it belongs to, and per cell the value and its text."""

    a: str
    b: str
    kind: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PairTable:
    """Everything that the template of the pairs asks for."""

    columns: list[Column]
    rows: list[Row]
    choices: list[tuple[str, str]]
    n_tested: int
    n_significant: int
    method: str
    fdr: float = FDR


def pair_table(found: Pairs) -> PairTable:
    """Rows in the order of the table, which is that of ``pairs.csv``."""
    table = found.table
    columns = [c for c in _columns(found) if c.name in table]
    values = {c.name: [_value(v) for v in table[c.name]] for c in columns}
    texts = {c.name: [c.text(v) or "\N{EN DASH}" for v in table[c.name]] for c in columns}
    groups = _groups(found)
    rows = [
        Row(
            a=a,
            b=b,
            kind=" ".join(kind for kind, (_, member) in groups.items() if member[i]),
            cells=[(values[c.name][i], texts[c.name][i]) for c in columns],
        )
        for i, (a, b) in enumerate(zip(table["class_a"], table["class_b"], strict=True))
    ]
    choices = [(kind, f"{text} ({sum(member):,})") for kind, (text, member) in groups.items()]
    return PairTable(
        columns=columns,
        rows=rows,
        choices=[*choices, ("", f"all pairs ({len(rows):,})")] if len(rows) > _FEW else [],
        n_tested=found.n_tested,
        n_significant=int(table["significant"].sum()) if found.tested else 0,
        method=_method(found) if found.tested else "",
    )


def _columns(found: Pairs) -> list[Column]:
    whole = "{:,}".format
    return [
        Column("r", "r", signed),
        Column("corrected", "without noise", signed),
        Column("low", f"{found.level} from", signed),
        Column("high", "to", signed),
        Column("pvalue", "p", _narrow, down=False),
        Column("qvalue", "q", _narrow, down=False),
        Column("qvalue_perm", "q of chance", _narrow, down=False),
        Column("n_a", "n, first", whole),
        Column("n_b", "n, second", whole),
        Column("r_means", "r of means", signed),
        Column("significant", f"q \N{LESS-THAN OR EQUAL TO} {percent(FDR)}", _yes, number=False),
        Column("nearest", "nearest", _yes, number=False),
    ]


def _narrow(p: float) -> str:
    return pvalue(p).replace("<\N{NO-BREAK SPACE}0.0001", "<\N{NARROW NO-BREAK SPACE}1e-4")


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _value(value: object) -> str:
    """As the CSV writes it."""
    return "" if pd.isna(value) else str(value)


def _groups(found: Pairs) -> dict[str, tuple[str, list[bool]]]:
    """Rows to choose, by the name of their class in the page."""
    table = found.table
    telling = table["nearest"] | (table.index < _FIRST)
    if not found.tested:
        return {"telling": ("most alike and nearest", telling.tolist())}
    significant = table["significant"].tolist()
    return {
        "telling": (
            "most certain and nearest",
            (telling | table["significant"]).tolist(),
        ),
        "significant": (f"significant at {percent(FDR)}", significant),
        "tested": ("tested", table["qvalue"].notna().tolist()),
    }


def _method(found: Pairs) -> str:
    params = found.params
    unit = found.unit
    draws = count(int(params["n_boot"]), "draw")
    permutations = count(int(params["n_perm"]), "permutation")
    words = [
        f"intervals from {draws} of {unit}s within their classes, by Fieller's method",
        "p from Student's t",
        f"q of chance from {permutations} of {unit}s among the classes",
        "q after Benjamini and Hochberg",
        f"seed {params['random_state']}",
    ]
    if "by" in params:
        words.insert(0, f"averaged over {params['by']} with equal weights")
    return f"{'; '.join(words)}."
