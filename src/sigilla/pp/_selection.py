"""From Kolmogorov-Smirnov scores to influential features: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sigilla.errors import DataError, unknown_name
from sigilla.logging import logger
from sigilla.pp._null import null_distribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sigilla.pp._null import Null

    Floats = NDArray[np.float64]

NullName = Literal["table", "simulate"]
MIN_SAMPLES = 3
# Fraction of the genes that may be kept without evidence that any is influential.
_FEW = 0.05


@dataclass(frozen=True, slots=True)
class Selection:
    """Which genes are influential, and why.

    Attributes
    ----------
    selected
        Mask of the influential genes.
    scores
        Kolmogorov-Smirnov scores before the empirical-null correction; ``nan`` if constant.
    pvalues
        P-values after the correction; ``nan`` where the score is.
    higher_criticism
        The HC functional at each gene, genes in the order of their p-values.
    threshold
        The largest p-value kept.
    significant
        Whether Higher Criticism rejects that all genes are normal.
    """

    selected: NDArray[np.bool_]
    scores: Floats
    pvalues: Floats
    higher_criticism: Floats
    threshold: float
    significant: bool


def select_by_score(
    scores: Floats,
    n: int,
    *,
    null: NullName = "table",
    fraction: float = 1.0,
    random_state: int | None = 0,
    n_jobs: int | None = None,
) -> Selection:
    """Choose the influential genes from their scores on ``n`` samples.

    Genes whose score is ``nan`` take no part: they are not selected and do not count among the p
    genes of the Higher Criticism threshold.
    """
    varying = ~np.isnan(scores)
    p = int(varying.sum())
    if p == 0:
        msg = f"none of the {len(scores)} genes varies over the samples: nothing to select from"
        raise DataError(msg)
    if p < len(scores):
        logger.info("%d constant genes of %d are not scored", len(scores) - p, len(scores))

    law = null_distribution(null, n=n, p=p, random_state=random_state, n_jobs=n_jobs)
    pvalues = np.full(len(scores), np.nan)
    pvalues[varying] = law.sf(to_null_scale(scores[varying], law, fraction))
    threshold, functional, significant = higher_criticism(pvalues[varying], n)
    selected = varying & (np.where(varying, pvalues, np.inf) <= threshold)
    if not significant:
        logger.info(
            "no evidence of influential genes among %d: keeping the %d least normal ones",
            p,
            selected.sum(),
        )
    return Selection(selected, scores, pvalues, functional, threshold, significant)


def to_null_scale(scores: Floats, null: Null, fraction: float) -> Floats:
    """Efron's empirical null: give the scores the mean and spread that normal genes would have.

    ``fraction`` < 1 compares only the smallest scores on both sides, for data in which a large
    part of the genes is influential.
    """
    smallest = np.sort(scores)[: max(1, round(fraction * len(scores)))]
    spread = smallest.std(ddof=1) if len(smallest) > 1 else 0.0
    null_mean, null_sd = null.moments(fraction)
    if spread == 0:
        return scores - smallest.mean() + null_mean
    return (scores - smallest.mean()) / spread * null_sd + null_mean


def higher_criticism(pvalues: Floats, n: int) -> tuple[float, Floats, bool]:
    """The largest p-value to keep, HC over the sorted p-values, and whether it is significant.

    The functional is maximised from the first p-value above ``log(p)/p`` up to the middle one; of
    equal maxima the last counts. If more than half of the p-values lie below ``log(p)/p``, the
    smaller half is kept.

    One case differs from the papers'. Where all genes are normal the maximum may be anywhere, and
    up to half of them would be kept. So where it is no larger than ``sqrt(2 log log p)``, the level
    at which Higher Criticism rejects that all are normal, only the first 5 % are searched.
    """
    p = len(pvalues)
    ordered = np.sort(pvalues)
    expected = np.arange(1, p + 1) / (p + 1)
    excess = expected - ordered
    functional = np.sqrt(p) * excess / np.sqrt(np.maximum(np.sqrt(n) * excess, 0) + expected)

    above = int(np.searchsorted(ordered, np.log(p) / p, side="right"))
    last = _last_maximum(functional, above, (p + 1) // 2)
    significant = bool(functional[last] ** 2 > 2 * np.log(np.log(max(p, 3))))
    if not significant:
        last = _last_maximum(functional, above, round(_FEW * p))
    return float(ordered[last]), functional, significant


def _last_maximum(values: Floats, start: int, stop: int) -> int:
    stop = max(1, stop)
    start = min(start, stop - 1)
    return stop - 1 - int(np.argmax(values[start:stop][::-1]))


def check_options(n: int, null: str, fraction: float) -> None:
    """Refuse too few samples and options out of their range."""
    if n < MIN_SAMPLES:
        msg = (
            f"{n} samples are too few: with fewer than {MIN_SAMPLES}, every standardised gene looks"
            " alike. Is the matrix samples x genes?"
        )
        raise DataError(msg)
    if null not in get_args(NullName):
        raise ValueError(unknown_name("null", null, get_args(NullName)))
    if not 0 < fraction <= 1:
        msg = f"fraction={fraction} must be above 0 and at most 1 (1 uses every gene)"
        raise ValueError(msg)
