"""Parts for cross-validation that split units, such as perturbagens, and never a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import DataError, unknown_name
from sigilla.labels import as_text
from sigilla.seed import generator

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Folds:
    """When each observation is left out of training, and whether it is then asked about.

    ``left_out`` is -1 for an observation that is always trained on: one of a class that cannot be
    asked about, or one without a label and of a unit that nobody is asked about.
    """

    left_out: Indices
    asked: NDArray[np.bool_]
    units_per_class: Indices
    n_splits: int

    def training(self, fold: int) -> Indices:
        """Positions that a fold trains on."""
        return np.flatnonzero(self.left_out != fold)

    def test(self, fold: int) -> Indices:
        """Positions that a fold is asked about."""
        return np.flatnonzero((self.left_out == fold) & self.asked)


def units_of(adata: AnnData, unit: str) -> Indices:
    """The unit of each observation as 0, 1, ...; one without a value is a unit of its own.

    Raises
    ------
    KeyError
        No such column of ``obs``.
    """
    if unit not in adata.obs:
        raise KeyError(unknown_name("unit", unit, adata.obs.columns))
    codes = np.asarray(pd.factorize(as_text(adata.obs[unit]), sort=True)[0], dtype=np.intp)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def deal(
    label: NDArray[np.integer], unit: Indices, n_classes: int, n_splits: int, random_state: int
) -> Folds:
    """Deal the units of each class over as many parts as it can fill.

    A class of two or more units has them in at least two parts, so that it is always among those
    trained on; scikit-learn's StratifiedGroupKFold weighs class shares only, and may put both
    units of a class into one part. A class of one unit cannot be asked about and is always
    trained on, as a wrong answer that the others can be given.

    Parameters
    ----------
    label
        Class of each observation, 0 to K - 1, or -1.
    unit
        Unit of each observation, 0 or more. A unit may have several classes.
    n_classes
        K.
    n_splits
        Parts.
    random_state
        Seed of the order in which units are dealt.

    Raises
    ------
    DataError
        No class has two units, or all units together are fewer than the parts.
    """
    rng = generator(random_state)
    pairs = np.stack([label, unit], axis=1)[label >= 0]
    (class_, of), size = _counted(pairs)
    fold = np.full(unit.max(initial=-1) + 1, -1, dtype=np.intp)
    per_class = np.bincount(class_, minlength=n_classes)
    load = np.zeros(n_splits)
    # Classes with few units first, while there is a choice for units of several classes.
    for k in np.argsort(per_class, kind="stable"):
        if per_class[k] < 2:
            continue
        mine = rng.permutation(np.flatnonzero(class_ == k))
        mine = mine[np.argsort(-size[mine], kind="stable")]
        own = np.zeros(n_splits)
        for i in mine:
            if fold[of[i]] < 0:
                fold[of[i]] = np.lexsort((load, own))[0]
                load[fold[of[i]]] += size[i]
            own[fold[of[i]]] += size[i]
    parts = _counted(np.stack([class_, fold[of]], axis=1))[0][0]
    can_be_asked = np.bincount(parts, minlength=n_classes) >= 2
    asked = (label >= 0) & can_be_asked[label]
    _require_asked(asked, load)
    left_out = fold[unit]
    left_out[~np.isin(unit, unit[asked])] = -1
    return Folds(left_out, asked, per_class, n_splits)


def _counted(pairs: NDArray[np.integer]) -> tuple[NDArray[np.integer], Indices]:
    """Distinct rows as columns, and how often each occurs."""
    found, count = np.unique(pairs, axis=0, return_counts=True)
    return found.T, count


def _require_asked(asked: NDArray[np.bool_], load: NDArray[np.float64]) -> None:
    if not asked.any():
        raise DataError(
            "no class has two of the units to be split, so none can be left out and asked about"
        )
    if not load.all():
        raise DataError(
            f"n_splits={len(load)} parts, and the units of classes that have two or more fill only "
            f"{int((load > 0).sum())}; lower n_splits"
        )
