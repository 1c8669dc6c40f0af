"""Scores computed where the data are: on the workers of a dask cluster, strip by strip."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.pp import _strips
from sigilla.pp._ks import ks_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of a strip read here, the part that is one task of a worker: several are at work at once.
_PARTS = 8
# Corner of the matrix that tells whether its values are counts.
_CORNER = (1000, 100)


def is_on_cluster(matrix: Any) -> bool:
    """Whether this is a dask array and a ``distributed.Client`` waits for work."""
    if not hasattr(matrix, "dask") or "distributed" not in sys.modules:
        return False
    from distributed import default_client

    try:
        default_client()
    except ValueError:
        return False
    return True


def corner(matrix: Any) -> Any:
    """Some values of the matrix, here."""
    return matrix[: _CORNER[0], : _CORNER[1]].compute()


def cluster_scores(matrix: Any, genes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov scores of the chosen genes; only they travel, no expression does."""
    if not genes.all():
        matrix = matrix[:, np.flatnonzero(genes)]
    scores = whole_genes(matrix).map_blocks(_score, drop_axis=0, dtype=np.float64, meta=np.empty(0))
    return np.asarray(scores.compute())


def whole_genes(matrix: Any) -> Any:
    """The dask array in blocks of all samples of as many genes as a worker holds at a time."""
    n, p = matrix.shape
    width = max(1, min(p, _strips.STRIP_BYTES // (_PARTS * n * matrix.dtype.itemsize)))
    return matrix.rechunk({0: -1, 1: width})


def _score(strip: Any) -> NDArray[np.float64]:
    return ks_scores(strip, n_jobs=1)
