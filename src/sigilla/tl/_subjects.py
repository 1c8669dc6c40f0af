"""What IF-PCA and IF-VAE share: the genes they see, and the clusters in what they made of them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans

from sigilla import keys
from sigilla.errors import DataError
from sigilla.pp._influential import score_and_select, store_selection, warn_of_counts
from sigilla.pp._selection import check_options
from sigilla.pp._strips import choose_genes, choose_matrix, strips
from sigilla.target import target_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.pp._selection import NullName, Selection

    Floats = NDArray[np.float64]

# Values whose sums are taken in double precision at a time.
_BLOCK = 2**20


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


@dataclass(frozen=True, slots=True)
class Chosen:
    """The matrix, which of its genes are considered and which are used, and what was asked."""

    matrix: Any
    considered: NDArray[np.bool_]
    used: NDArray[np.bool_]
    selection: Selection | None
    params: dict[str, Any]

    def values(self, *, scale: bool) -> Any:
        """The used genes that vary, see :func:`varying_genes`."""
        return varying_genes(self.matrix, self.used, scale=scale)


def choose(
    adata: AnnData,
    *,
    select: bool,
    layer: str | None,
    mask_var: str | NDArray[np.bool_] | None,
    null: NullName,
    fraction: float,
    random_state: int,
    n_jobs: int | None,
) -> Chosen:
    """The influential genes of the considered ones, or all of these."""
    check_options(adata.n_obs, null, fraction)
    matrix, genes = choose_matrix(adata, layer), choose_genes(adata, mask_var)
    params: dict[str, Any] = {"select": select, "random_state": random_state}
    params |= {} if layer is None else {"layer": layer}
    params |= {"mask_var": mask_var} if isinstance(mask_var, str) else {}
    if not select:
        warn_of_counts(next(strips(matrix, genes)))
        return Chosen(matrix, genes, genes, None, params)
    selection = score_and_select(
        matrix, genes=genes, null=null, fraction=fraction, random_state=random_state, n_jobs=n_jobs
    )
    used = genes.copy()
    used[genes] = selection.selected
    return Chosen(matrix, genes, used, selection, params | {"null": null, "fraction": fraction})


def write(
    adata: AnnData,
    key: str,
    chosen: Chosen,
    points: Floats,
    clusters: Clusters,
    *,
    stored: dict[str, Any],
    params: dict[str, Any],
    copy: bool,
) -> AnnData | None:
    """Store clusters, the points that they are of, and the genes that they rest on."""
    target = target_of(adata, copy=copy)
    if chosen.selection is not None:
        store_selection(
            target, chosen.selection, chosen.considered, key="influential", params=chosen.params
        )
    target.obs[key] = clusters.labels
    target.obsm[keys.latent(key)] = points
    target.uns[key] = {
        "n_clusters": len(clusters.labels.categories),
        "inertia": clusters.inertia,
        "params": chosen.params | params,
        **stored,
    }
    return target if copy else None


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
        return _scaled_sparse(strip.tocsr(), scale=scale)
    values = np.asarray(strip, dtype=np.float64)
    _require_finite(values)
    varies = values.min(axis=0) < values.max(axis=0)
    values = values[:, varies]
    return values / values.std(axis=0, ddof=1) if scale else values


def _scaled_sparse(X: Any, *, scale: bool) -> Any:
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    _require_finite(X.data)
    n, p = X.shape
    total, squares = np.zeros((2, p))
    for start in range(0, X.nnz, _BLOCK):
        block = slice(start, start + _BLOCK)
        genes, values = X.indices[block], X.data[block].astype(np.float64)
        total += np.bincount(genes, values, p)
        squares += np.bincount(genes, values**2, p)
    variance = squares / n - (total / n) ** 2
    # What cancellation leaves of a constant gene's variance is not variance.
    varies = variance > 1e-10 * (total / n) ** 2
    if not varies.all():
        X, variance = X[:, varies], variance[varies]
    if not scale:
        return X.astype(np.result_type(X.dtype, np.float32), copy=False)
    scaled = (1 / np.sqrt(variance * n / (n - 1)))[X.indices]
    scaled *= X.data
    return type(X)((scaled, X.indices, X.indptr), X.shape)


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
