"""What IF-PCA and IF-VAE share: the genes they see, and the clusters in what they made of them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans

from sigilla.errors import DataError
from sigilla.pp._strips import strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def check_n_clusters(n_clusters: int | None, n_obs: int) -> None:
    """Refuse a number of clusters that the samples cannot have."""
    if n_clusters is None:
        return
    if not isinstance(n_clusters, Integral):
        raise TypeError(f"n_clusters={n_clusters!r} must be a whole number, or None to estimate it")
    if n_clusters < 2:
        raise ValueError(f"n_clusters={n_clusters} must be 2 or more, or None to estimate it")
    if n_clusters > n_obs:
        raise ValueError(f"n_clusters={n_clusters} is more than the {n_obs} samples")


def varying_genes(matrix: Any, genes: NDArray[np.bool_], *, scale: bool) -> Any:
    """The chosen genes that vary over the samples, divided by their standard deviation or not.

    Not centred, so that a sparse matrix stays sparse. Dense results are float64.
    """
    parts = [_scaled(strip, scale=scale) for strip in strips(matrix, genes)]
    found = sparse.hstack(parts, format="csr") if sparse.issparse(parts[0]) else np.hstack(parts)
    if not found.shape[1]:
        raise DataError(f"none of the {int(genes.sum())} genes varies over the samples")
    return found


def _scaled(strip: Any, *, scale: bool) -> Any:
    if sparse.issparse(strip):
        values = strip.tocsc().astype(np.result_type(strip.dtype, np.float32))
        squares = values.copy()
        squares.data **= 2
        mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
        variance = np.asarray(squares.mean(axis=0), dtype=np.float64).ravel() - mean**2
        _require_finite(values.data)
        # What cancellation leaves of a constant gene's variance is not variance.
        varies = variance > 1e-7 * mean**2
        sd = np.sqrt(variance[varies] * strip.shape[0] / (strip.shape[0] - 1))
        return values[:, varies] @ sparse.diags_array(1 / sd) if scale else values[:, varies]
    values = np.asarray(strip, dtype=np.float64)
    _require_finite(values)
    varies = values.min(axis=0) < values.max(axis=0)
    values = values[:, varies]
    return values / values.std(axis=0, ddof=1) if scale else values


def _require_finite(values: NDArray[Any]) -> None:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise DataError(f"the genes hold {bad} NaN or infinite values; drop or fill them in first")


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters numbered by falling size, and the within-cluster sum of squares."""

    labels: pd.Categorical
    inertia: float


def cluster_rows(points: Floats, n_clusters: int, *, n_init: int, random_state: int) -> Clusters:
    """K-means, the best of ``n_init`` starts.

    The starts are drawn over the points in the order of their coordinates, so that the clusters do
    not depend on the order of the samples.
    """
    order = np.lexsort(points.T[::-1])
    fit = KMeans(n_clusters, n_init=n_init, random_state=random_state).fit(points[order])
    sizes = np.bincount(fit.labels_, minlength=n_clusters)
    rank = np.empty(n_clusters, dtype=np.intp)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(n_clusters)
    labels = np.empty(len(points), dtype=np.intp)
    labels[order] = rank[fit.labels_]
    names = [str(k) for k in range(n_clusters)]
    return Clusters(pd.Categorical.from_codes(labels, names), float(fit.inertia_))
