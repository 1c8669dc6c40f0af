"""Checks of input, and the sentences that say what is wrong and what would work."""

from __future__ import annotations

import difflib
import math
from numbers import Integral, Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(values: Iterable[object], limit: int = 8) -> str:
    """'a', 'b', 'c' and 4 more: a list short enough to read in a traceback.

    Examples
    --------
    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    # NumPy's strings would show as np.str_('a').
    items = [repr(str(v)) if isinstance(v, str) else repr(v) for v in values]
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


def unknown_name(argument: str, value: object, choices: Iterable[object]) -> str:
    """The message for a value that is not among its choices, with the closest one proposed.

    Examples
    --------
    >>> unknown_name("layer", "count", ["counts", "scaled"])
    "layer='count' not found; did you mean 'counts'? Available: 'counts', 'scaled'"
    """
    names = [str(c) for c in choices]
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(str(value).casefold(), folded, n=1)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else "."
    return f"{argument}={value!r} not found{hint} Available: {listed(names) or 'none'}"


def require_count(argument: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number, or smaller than ``least``.

    Examples
    --------
    >>> require_count("n_splits", 5, least=2)
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{argument}={value!r} must be a whole number, at least {least}")


def require_between(argument: str, value: object, low: float, high: float) -> None:
    """Refuse what is no number strictly between two others.

    Examples
    --------
    >>> require_between("false_alarm_rate", 0.05, 0, 1)
    """
    if not isinstance(value, Real) or not low < value < high:
        raise ValueError(f"{argument}={value!r} must be a number between {low:g} and {high:g}")


def require_not_negative(argument: str, value: object) -> None:
    """Refuse what is no finite number of 0 or more.

    Examples
    --------
    >>> require_not_negative("threshold", 0.5)
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(f"{argument}={value!r} must be a number, 0 or more")


def require_jobs(n_jobs: object, *, every: int | None) -> None:
    """Refuse what is no number of processes; ``every`` is how a call asks for one on each core.

    Examples
    --------
    >>> require_jobs(-1, every=-1)
    """
    whole = isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool)
    if n_jobs != every and not (whole and int(n_jobs) >= 1):
        raise ValueError(
            f"n_jobs={n_jobs!r} must be a whole number, at least 1; give 1 for this process alone, "
            f"or {every} for one on each core"
        )


class DataError(ValueError):
    """The data given cannot be used as they are; the message says why and what to do."""


class FileError(OSError):
    """A file is not what its name says, is damaged, or cannot be written."""
