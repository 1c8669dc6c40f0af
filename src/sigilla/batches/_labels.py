from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import DataError, listed, unknown_name
from sigilla.labels import UNLABELLED_TEXTS
from sigilla.logging import logger

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Labels:
    """Classes by name and, for each observation, the index of its class or -1."""

    classes: tuple[str, ...]
    index: NDArray[np.int64]


def read_labels(adata: AnnData, label_key: str, *, called: str = "adata") -> Labels:
    """The labels in ``obs[label_key]``.

    Categories keep their order, other values are sorted, and classes without an observation are
    dropped: a slice of the data never reorders the classes it keeps. Missing values are
    observations without a label, also where they have become text: ``""``, ``"nan"``, ``"NaN"``,
    ``"None"``, ``"<NA>"``. ``called`` is the name of the argument in messages.

    Raises
    ------
    KeyError
        No such column.
    DataError
        Fewer than two classes, or two that are the same as text.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> obs = pd.DataFrame({"pcl": ["b", "a", None]}, index=list("xyz"))
    >>> read_labels(anndata.AnnData(np.zeros((3, 1)), obs=obs), "pcl").index
    array([ 1,  0, -1])
    """
    if label_key not in adata.obs:
        message = unknown_name("label_key", label_key, adata.obs.columns)
        raise KeyError(f"{message} (columns of {called}.obs)")
    column = adata.obs[label_key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = column.cat.remove_unused_categories()
        classes, index = [str(c) for c in present.cat.categories], present.cat.codes.to_numpy()
    else:
        text = column.astype("string").to_numpy(dtype=object, na_value=None)
        index, found = pd.factorize(text, sort=True)
        classes = [str(c) for c in found]
    index = index.astype(np.int64)
    if len(set(classes)) < len(classes):
        twice = sorted({name for name in classes if classes.count(name) > 1})
        raise DataError(
            f"label_key={label_key!r} has classes that differ in type only: {listed(twice)} stands"
            f" for more than one; make them one, {called}.obs[{label_key!r}].astype(str)"
        )
    index, classes = _without_missing(index, classes, label_key)
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no label at all"
        raise DataError(
            f"label_key={label_key!r} has {found} in {adata.n_obs} observations of {called}; at "
            "least two classes are needed. Join class names first, e.g. "
            "sg.io.read_lincs(..., classes=...)"
        )
    unlabelled = int((index < 0).sum())
    if unlabelled:
        logger.info("%d of %d observations have no %s", unlabelled, adata.n_obs, label_key)
    return Labels(tuple(classes), index)


def _without_missing(
    index: NDArray[np.int64], classes: list[str], label_key: str
) -> tuple[NDArray[np.int64], list[str]]:
    """Classes whose name is a missing value become -1."""
    missing = np.array([name in UNLABELLED_TEXTS for name in classes], dtype=bool)
    if not missing.any():
        return index, classes
    if any(classes[i] for i in np.flatnonzero(missing)):
        logger.warning(
            "%s has the text %s, which counts as no label",
            label_key,
            listed(name for name in classes if name in UNLABELLED_TEXTS - {""}),
        )
    place = np.where(missing, -1, np.cumsum(~missing) - 1)
    kept = [name for name, gone in zip(classes, missing, strict=True) if not gone]
    return np.where(index < 0, -1, place[index]), kept
