"""Agreement of a clustering with known classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from sigilla.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@overload
def clustering_error(
    true: ArrayLike, predicted: ArrayLike, *, normalize: Literal[False] = False
) -> int: ...
@overload
def clustering_error(
    true: ArrayLike, predicted: ArrayLike, *, normalize: Literal[True]
) -> float: ...
def clustering_error(
    true: ArrayLike, predicted: ArrayLike, *, normalize: bool = False
) -> int | float:
    """Number of wrongly clustered observations under the best matching of clusters to classes.

    Each cluster is matched with at most one class and each class with at most one cluster, so that
    the number of observations in matched pairs is largest; all others are errors. With more
    clusters than classes, those left over are errors entirely.

    Parameters
    ----------
    true, predicted
        Class and cluster of each observation: numbers, strings, booleans or categories.
    normalize
        Return the fraction of errors in place of their number. The matched accuracy is one minus
        the fraction.

    Returns
    -------
    The number of errors (``int``), or their fraction (``float``).

    Raises
    ------
    ValueError
        The lengths differ, an argument is not one-dimensional, or there are no observations.
    DataError
        A label is missing.

    Examples
    --------
    >>> import sigilla as sg
    >>> sg.metrics.clustering_error(["a", "a", "b", "b"], [1, 1, 0, 1])
    1
    >>> sg.metrics.clustering_error(["a", "a", "b", "b"], [1, 1, 0, 1], normalize=True)
    0.25
    """
    classes = _codes("true", true)
    clusters = _codes("predicted", predicted)
    if len(classes) != len(clusters):
        raise ValueError(
            f"true has {len(classes)} labels and predicted {len(clusters)};"
            " both need one per observation"
        )
    table = np.zeros((classes.max() + 1, clusters.max() + 1), dtype=np.intp)
    np.add.at(table, (classes, clusters), 1)
    errors = len(classes) - int(table[linear_sum_assignment(table, maximize=True)].sum())
    return errors / len(classes) if normalize else errors


def _codes(argument: str, labels: ArrayLike) -> NDArray[np.intp]:
    values = labels if isinstance(labels, pd.Series | pd.Categorical) else np.asarray(labels)
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"{argument} must be one label per observation; it has shape {values.shape}"
        )
    codes = pd.factorize(values)[0].astype(np.intp)
    missing = int((codes < 0).sum())
    if missing:
        raise DataError(
            f"{argument} has {missing} missing labels of {len(codes)};"
            " leave these observations out on both sides"
        )
    return codes
