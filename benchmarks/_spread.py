"""How a table gives values of several rounds."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def spread(values: Iterable[float], form: str = ".2f") -> str:
    """Least, median and greatest."""
    found = list(values)
    return " / ".join(format(v, form) for v in (min(found), statistics.median(found), max(found)))
