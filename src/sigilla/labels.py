"""What counts as a label, wherever labels are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What missing values turn into when they are written as text; no class is called that.
UNLABELLED_TEXTS = frozenset({"", "nan", "NaN", "None", "<NA>"})


def as_text(column: pd.Series) -> pd.Series:
    """The labels as text, missing also where a missing value has become text.

    Examples
    --------
    >>> import pandas as pd
    >>> as_text(pd.Series(["MEK", "nan", None])).isna().tolist()
    [False, True, True]
    """
    text = column.astype("string")
    return text.mask(text.isin(UNLABELLED_TEXTS))
