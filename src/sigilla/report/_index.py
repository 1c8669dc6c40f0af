"""The index of a batch: a page and a table with one line for each piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from sigilla.report._files import new_folder, sweep, write_all, write_csv
from sigilla.report._page import environment
from sigilla.report._provenance import software_versions
from sigilla.report._reports import whole_numbers

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sigilla.report._run import Outcome

_COLUMNS = [
    "piece",
    "status",
    "reason",
    "report",
    "signatures",
    "classes",
    "accuracy",
    "pairs",
    "significant",
    "most_alike",
    "with",
    "correlation",
]


def write_index(
    out: Path,
    outcomes: Sequence[Outcome],
    checksums: Mapping[str, Mapping[str, str]],
    *,
    date: dt.date | None,
) -> Path:
    """Write ``index.html`` and ``index.csv``; ``checksums`` are those of each input, by name.

    Whether a report was made now or kept is not told: a job that was interrupted ends like one
    that was not.
    """
    told = [_line(outcome, out) for outcome in outcomes]
    page = (
        environment()
        .get_template("index.html.j2")
        .render(
            reports=[line for line in told if line["status"] == "report"],
            failed=[line for line in told if line["status"] == "failed"],
            skipped=[line for line in told if line["status"] == "skipped"],
            inputs=[
                (f"{name}: {file}", checksum)
                for name, files in checksums.items()
                for file, checksum in files.items()
            ],
            software=software_versions(),
            date=None if date is None else date.isoformat(),
        )
    )
    table = whole_numbers(pd.DataFrame(told, columns=_COLUMNS))
    with new_folder(out):
        sweep(out, ["index.html", "index.csv"])
        write_all(
            out,
            {
                "index.html": lambda path: path.write_text(page, encoding="utf-8"),
                "index.csv": lambda path: write_csv(table, path),
            },
        )
    return out / "index.html"


def _line(outcome: Outcome, out: Path) -> dict[str, Any]:
    line: dict[str, Any] = dict.fromkeys(_COLUMNS)
    line |= {"piece": outcome.name, "status": outcome.status, "reason": outcome.reason}
    if outcome.page is None or outcome.row is None:
        return line
    row = dict(outcome.row)
    line["most_alike"], line["with"] = row.pop("pair")
    report = outcome.page.relative_to(out).as_posix()
    # Letters of any script are in folder names; a link spells them in ASCII.
    return line | row | {"status": "report", "report": report, "link": quote(report)}
