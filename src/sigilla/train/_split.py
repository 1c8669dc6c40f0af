from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def holdout(
    label: NDArray[np.integer], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which observations to hold out: ``fraction`` of each class, never a class's last one.

    Observations without a label (-1) are held out only where nobody has one: a validation
    metric of classes says nothing about them.

    Examples
    --------
    >>> import numpy as np
    >>> label = np.array([0] * 10 + [1] * 10 + [2])
    >>> held = holdout(label, 0.2, np.random.default_rng(0))
    >>> [int(held[label == k].sum()) for k in range(3)]
    [2, 2, 0]
    """
    held = np.zeros(len(label), dtype=bool)
    labelled = label >= 0
    pool = np.flatnonzero(labelled if labelled.any() else ~labelled)
    pool = rng.permutation(pool)
    by_class = pool[np.argsort(label[pool], kind="stable")]
    # The first of each class stays; every (1 / fraction)-th of the rest, class after class, goes.
    ordered = label[by_class]
    rest = by_class[1:][ordered[1:] == ordered[:-1]]
    n_held = min(round(fraction * len(pool)), len(rest))
    held[rest[((np.arange(n_held) + 0.5) * len(rest) / max(n_held, 1)).astype(int)]] = True
    return held
