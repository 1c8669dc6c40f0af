"""Whether a stated probability is the share of right answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sigilla.errors import DataError, require_count, unknown_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_BINS = ("width", "mass")


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of confidence, those without an answer left out.

    Attributes
    ----------
    confidence
        Mean confidence in each bin.
    accuracy
        Share of right answers in it.
    count
        Answers in it.
    """

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.intp]


def reliability(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    bins: Literal["width", "mass"] = "width",
) -> Reliability:
    """The reliability curve: how often answers of each confidence are right.

    Parameters
    ----------
    confidence
        Probability that each answer was given with, 0 to 1.
    correct
        Whether each answer was right.
    n_bins
        Bins, at most.
    bins
        ``"width"`` makes bins equally wide, ``"mass"`` equally full; answers of the same
        confidence share a bin.

    Returns
    -------
    :class:`Reliability`: mean confidence, share of right answers and number of answers in each
    bin that has any, from the least confident to the most.

    Raises
    ------
    ValueError
        An option or a length that does not fit.
    DataError
        Confidences outside 0 to 1, NaN, or no answers at all.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger 2017, ICML (arXiv:1706.04599)

    Examples
    --------
    >>> import sigilla as sg
    >>> curve = sg.metrics.reliability([0.6, 0.6, 0.9, 0.9], [True, False, True, True], n_bins=5)
    >>> curve.accuracy.tolist(), curve.count.tolist()
    ([0.5, 1.0], [2, 2])
    """
    p, right = _checked(confidence, correct, n_bins)
    if bins not in _BINS:
        raise ValueError(unknown_name("bins", bins, _BINS))
    if bins == "width":
        edges = np.linspace(0, 1, n_bins + 1)
    else:
        edges = np.quantile(p, np.linspace(0, 1, n_bins + 1), method="lower")
    # A bin holds its upper edge, as in the paper; 0 falls into the first.
    index = np.searchsorted(edges[1:-1], p, side="left")
    count = np.bincount(index, minlength=n_bins)
    some = count > 0
    share = [np.bincount(index, values, n_bins)[some] / count[some] for values in (p, right)]
    return Reliability(share[0], share[1], count[some])


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    bins: Literal["width", "mass"] = "width",
) -> float:
    """Expected calibration error (ECE): how far stated probabilities are from what comes true.

    The gap between mean confidence and share of right answers, averaged over bins of confidence
    by the answers in them. 0 is calibrated; few answers per bin make it larger by chance.

    Parameters
    ----------
    confidence, correct, n_bins, bins
        As in :func:`reliability`.

    Returns
    -------
    The error, 0 to 1.

    Raises
    ------
    ValueError, DataError
        As :func:`reliability`.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger 2017, ICML (arXiv:1706.04599)

    Examples
    --------
    Two answers at .6 of which one is right, two at .9 that are both: each is .1 off.

    >>> import sigilla as sg
    >>> error = sg.metrics.calibration_error([0.6, 0.6, 0.9, 0.9], [True, False, True, True])
    >>> round(error, 12)
    0.1
    """
    curve = reliability(confidence, correct, n_bins=n_bins, bins=bins)
    return float(np.average(np.abs(curve.confidence - curve.accuracy), weights=curve.count))


def _checked(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int
) -> tuple[Floats, NDArray[np.bool_]]:
    require_count("n_bins", n_bins)
    p, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct)
    if p.ndim != 1 or p.shape != right.shape:
        raise ValueError(
            f"confidence has shape {p.shape} and correct {right.shape}; both need one value for "
            "each answer"
        )
    if not len(p):
        raise DataError("confidence is empty; there is nothing to be calibrated")
    # Rounding of a softmax in float32 is no mistake.
    if not ((p >= 0) & (p <= 1 + 1e-5)).all():
        raise DataError("confidence has values outside 0 to 1, or NaN; pass probabilities")
    if not np.isin(right, (0, 1)).all():
        raise DataError("correct has values other than True and False")
    return p.clip(0, 1), right.astype(bool)
