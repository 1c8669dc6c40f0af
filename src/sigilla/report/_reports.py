"""What a call gives back: the pages, and what became of each piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sigilla.report._run import Outcome


COUNTS = ("signatures", "classes", "pairs", "significant")


class Reports(list["Path"]):
    """The pages that were written or kept, in the order of the inputs.

    Attributes
    ----------
    table
        One row per piece, with its name as index: ``status`` (made, kept, skipped, failed),
        ``reason``, ``page``, and what the index page says of it.
    index_page
        The index, where there is one.

    Examples
    --------
    >>> import tempfile
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     reports = sg.report.pcl_correlation(
    ...         {"a": adata, "b": adata[:, :20]},
    ...         folder,
    ...         n_splits=0,
    ...         n_jobs=1,
    ...         options={"max_epochs": 2},
    ...     )
    >>> reports.table["status"].to_dict()
    {'a': 'made', 'b': 'made'}
    """

    def __init__(self, outcomes: Sequence[Outcome], index_page: Path | None = None) -> None:
        super().__init__(o.page for o in outcomes if o.page is not None)
        self.index_page = index_page
        table = pd.DataFrame(
            [
                {"status": o.status, "reason": o.reason, "page": o.page, **(o.row or {})}
                for o in outcomes
            ],
            index=pd.Index([o.name for o in outcomes], name="piece"),
        )
        self.table = whole_numbers(table)


def whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers, also beside rows that have none."""
    return table.astype({name: "Int64" for name in COUNTS if name in table})
