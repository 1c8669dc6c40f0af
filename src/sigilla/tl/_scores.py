"""What cross-validated answers are worth, in arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.metrics import calibration_error, reliability
from sigilla.seed import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]

MEASURES = ("accuracy", "balanced_accuracy", "log_loss", "brier", "calibration_error")
# A class that a classifier holds for impossible is a mistake of this size at most.
_LEAST = float(np.finfo(np.float32).eps)
# Bins of fewer answers than this jump up and down by chance.
_BINS, _PER_BIN = 10, 30
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Answers:
    """What one classifier says of all observations; ``fold`` is -1 where it was not asked."""

    truth: Indices
    predicted: Indices
    probability: Floats  # n x K; NaN where there is none
    fold: Indices

    @property
    def confidence(self) -> Floats:
        """Probability of the answer that was given."""
        index = np.maximum(self.predicted, 0)[:, None]
        return np.take_along_axis(self.probability, index, axis=1)[:, 0]

    def of(self, rows: NDArray[np.bool_]) -> Answers:
        """Those of some observations."""
        return Answers(
            self.truth[rows], self.predicted[rows], self.probability[rows], self.fold[rows]
        )

    @property
    def asked(self) -> Answers:
        """Without those that were not asked."""
        return self.of(self.fold >= 0)


def summary(
    found: list[list[Answers]], units: Indices, n_classes: int, random_state: int
) -> dict[str, Any]:
    """Scores of every fold and pooled, confusion and reliability; splits x pairs in front."""
    n_folds = 1 + max(int(given[0].fold.max()) for given in found)
    by_fold = [
        [[scores(given.of(given.fold == f)) for f in range(n_folds)] for given in pairs]
        for pairs in found
    ]
    pooled = [[scores(given.asked) for given in pairs] for pairs in found]
    intervals = np.array(
        [[_interval(given, units, random_state) for given in pairs] for pairs in found]
    )
    common = np.logical_and.reduce([pairs[0].fold >= 0 for pairs in found])
    largest = [
        np.bincount(pairs[0].asked.truth).max() / len(pairs[0].asked.truth) for pairs in found
    ]
    return {
        "scores": {m: _gather(by_fold, m) for m in MEASURES},
        "pooled": {m: _gather(pooled, m) for m in MEASURES}
        | {
            "accuracy_low": intervals[..., 0],
            "accuracy_high": intervals[..., 1],
            "accuracy_common": np.array(
                [[_accuracy(given.of(common)) for given in pairs] for pairs in found]
            ),
            "largest_class": np.array(largest),
        },
        "confusion": np.array(
            [[_confusion(given.asked, n_classes) for given in pairs] for pairs in found]
        ),
        "reliability": _reliability(found),
        "n_asked": np.array(
            [np.bincount(pairs[0].asked.truth, minlength=n_classes) for pairs in found]
        ),
    }


def scores(given: Answers) -> dict[str, float]:
    """The measures of one set of answers; NaN for those that need probabilities."""
    right = given.predicted == given.truth
    values = {
        "accuracy": right.mean(),
        "balanced_accuracy": _by_class(right, given.truth).mean(),
    }
    p = given.probability
    if np.isnan(p).any():
        return values | dict.fromkeys(MEASURES[2:], np.nan)
    own = p[np.arange(len(p)), given.truth]
    return values | {
        "log_loss": -np.log(own.clip(_LEAST)).mean(),
        # sum over classes of (p - [is the class])^2
        "brier": (np.square(p).sum(axis=1) - 2 * own + 1).mean(),
        "calibration_error": calibration_error(given.confidence, right),
    }


def _accuracy(given: Answers) -> float:
    return float((given.predicted == given.truth).mean()) if len(given.truth) else np.nan


def _by_class(right: NDArray[np.bool_], truth: Indices) -> Floats:
    count = np.bincount(truth)
    return np.bincount(truth, right)[count > 0] / count[count > 0]


def _gather(nested: list[Any], measure: str) -> Floats:
    """One measure of nested lists of scores as an array of the same shape."""
    if isinstance(nested, dict):
        return nested[measure]
    return np.array([_gather(part, measure) for part in nested])


def _confusion(given: Answers, n_classes: int) -> Indices:
    cells = np.bincount(given.truth * n_classes + given.predicted, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def _interval(given: Answers, units: Indices, random_state: int) -> Floats:
    """95 % of accuracies when perturbagens are drawn with replacement."""
    given, units = given.asked, units[given.fold >= 0]
    _, unit = np.unique(units, return_inverse=True)
    size = np.bincount(unit)
    right = np.bincount(unit, given.predicted == given.truth)
    drawn = generator(random_state).multinomial(len(size), np.ones(len(size)) / len(size), _DRAWS)
    return np.quantile((drawn @ right) / (drawn @ size), [0.025, 0.975])


def _reliability(found: list[list[Answers]]) -> dict[str, Any]:
    shape = (len(found), len(found[0]), _BINS)
    confidence, accuracy = np.full(shape, np.nan), np.full(shape, np.nan)
    count = np.zeros(shape, dtype=np.intp)
    for s, pairs in enumerate(found):
        for m, given in enumerate(pairs):
            asked = given.asked
            if np.isnan(asked.probability).any():
                continue
            right = asked.predicted == asked.truth
            n_bins = int(np.clip(len(right) // _PER_BIN, 3, _BINS))
            curve = reliability(asked.confidence, right, n_bins=n_bins, bins="mass")
            n = len(curve.count)
            confidence[s, m, :n], accuracy[s, m, :n] = curve.confidence, curve.accuracy
            count[s, m, :n] = curve.count
    return {"confidence": confidence, "accuracy": accuracy, "count": count}
