"""Numbers and names as they stand in sentences and tables of a page."""

from __future__ import annotations

import math


def signed(value: float) -> str:
    """Two decimals with a true minus sign; empty for a missing value."""
    return "" if not math.isfinite(value) else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def correlation(value: float) -> str:
    """A correlation in a sentence, unbroken."""
    return f"r = {signed(value)}".replace(" ", "\N{NO-BREAK SPACE}")


def percent(value: float) -> str:
    """Whole percent; empty for a missing value."""
    return "" if not math.isfinite(value) else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def pvalue(value: float) -> str:
    """As many digits as tell something; empty for a missing value.

    Examples
    --------
    >>> pvalue(1), pvalue(0.25491), pvalue(0.00566), pvalue(0.000192)
    ('1.00', '0.25', '0.0057', '0.0002')
    """
    if not math.isfinite(value):
        return ""
    if value < 1e-4:
        return "<\N{NO-BREAK SPACE}0.0001"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.4f}" if value < 0.001 else f"{value:.2g}"


def count(n: int, noun: str) -> str:
    """A number and what is counted.

    Examples
    --------
    >>> count(1, "pair"), count(2775, "pair")
    ('1 pair', '2,775 pairs')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def name(text: str) -> str:
    """A class name in a sentence: quoted where its own punctuation would run into ours."""
    return f"“{text}”" if set(text) & set(",;:.") else text
