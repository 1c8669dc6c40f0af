"""IF-PCA: subject clustering by the principal components of the influential features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from sigilla.logging import logger
from sigilla.tl._sparse_svd import singular_vectors
from sigilla.tl._subjects import check_n_clusters, choose, cluster_rows, write

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.pp._selection import NullName

    Floats = NDArray[np.float64]

# The largest number of clusters that an estimate may give.
MAX_ESTIMATE = 15
# Above this many samples and genes a few singular vectors are cheaper by Lanczos' iteration.
_FULL_SVD = 1000
# Of the residual of a singular vector, relative; scipy squares it for the eigenvector it looks for.
# To the last digit, vectors of noise of nearly one length take longer the more samples there are.
_TOLERANCE = 1e-3
# A singular value this much below the first is rounding: repeated genes add no direction.
_NO_DIRECTION = 1e-7


def ifpca(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    select: bool = True,
    scale: bool = True,
    null: NullName = "table",
    fraction: float = 1.0,
    n_init: int = 100,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    key_added: str = "ifpca",
    random_state: int = 0,
    n_jobs: int | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Cluster samples by the leading singular vectors of their influential genes.

    Influential genes are chosen as by :func:`sigilla.pp.influential_features`; the first
    ``n_clusters - 1`` left singular vectors of the standardised genes are clustered by k-means.

    Parameters
    ----------
    adata
        Samples x genes; dense, sparse, backed or dask.
    n_clusters
        Number of clusters K. ``None`` estimates it: K - 1 is where the ratio of successive
        eigenvalues is largest (Ahn & Horenstein 2013), K from 2 to 15. The estimate counts strong
        common factors: two clusters that differ along one weak direction are missed.
    select
        ``False`` uses all genes: plain PCA (spectral) clustering.
    scale
        ``False`` gives the PCA the selected genes centred but not divided by their standard
        deviation, IF-PCA(X). Genes are selected on standardised values in any case.
    null, fraction
        As in :func:`sigilla.pp.influential_features`.
    n_init
        Starts of k-means, of which the best counts.
    layer
        Matrix to use in place of ``X``.
    mask_var
        Genes to consider: a boolean column of ``var``, or a mask.
    key_added
        Replaces ``"ifpca"`` in the names below.
    random_state
        Seed of k-means, and of ``null="simulate"``.
    n_jobs
        Threads of the scoring, and of the PCA of a large sparse matrix; ``None`` is every
        available core. The result does not depend on it.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields:

    ``obs['ifpca']``
        Cluster of each sample, ``"0"`` the largest.
    ``obsm['X_ifpca']``
        Left singular vectors, n x (K - 1), of unit length; fewer if there are fewer genes.
    ``uns['ifpca']``
        ``n_clusters``, ``n_genes``, ``singular_values``, ``inertia``, ``params``.
    ``var['influential']``, ``var['if_score']``, ``var['if_pvalue']``, ``uns['influential']``
        As :func:`sigilla.pp.influential_features` writes them, if ``select``.

    Raises
    ------
    ValueError, TypeError, KeyError
        ``n_clusters`` below 2 or above the number of samples; an option that cannot be.
    DataError
        Fewer than 3 samples, NaN or infinite values, or no gene that varies.

    References
    ----------
    Jin & Wang (2016), Influential features PCA for high dimensional clustering, Ann. Statist.
    44(6):2323-2359. Chen, Jin & Ke (2023), Subject clustering by IF-PCA and several recent methods,
    Front. Genet. 14:1166404. Ahn & Horenstein (2013), Eigenvalue ratio test for the number of
    factors, Econometrica 81(3):1203-1227.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_rare_weak(n_obs=100, n_vars=1000, strength=2.0)
    >>> sg.tl.ifpca(adata, 2)
    >>> sg.metrics.clustering_error(adata.obs["label"], adata.obs["ifpca"])
    0
    """
    check_n_clusters(n_clusters, adata.n_obs)
    chosen = choose(
        adata,
        select=select,
        layer=layer,
        mask_var=mask_var,
        null=null,
        fraction=fraction,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    values = chosen.values(scale=scale)
    vectors, singular = leading_vectors(
        values, n_clusters, random_state=random_state, n_jobs=n_jobs
    )
    if n_clusters is None:
        n_clusters = len(singular) + 1
        logger.info("n_clusters estimated as %d", n_clusters)
    clusters = cluster_rows(vectors, n_clusters, n_init=n_init, random_state=random_state)
    return write(
        adata,
        key_added,
        chosen,
        vectors,
        clusters,
        stored={"n_genes": values.shape[1], "singular_values": singular},
        params={"scale": scale, "n_init": n_init},
        copy=copy,
    )


def leading_vectors(
    values: Any, n_clusters: int | None, *, random_state: int, n_jobs: int | None
) -> tuple[Floats, Floats]:
    """The first ``n_clusters - 1`` left singular vectors of the centred values, and theirs.

    As many as there are, if there are fewer; with ``n_clusters=None``, as many as
    :func:`common_factors` counts.
    """
    rank = min(values.shape[0] - 1, values.shape[1])
    wanted = min(MAX_ESTIMATE if n_clusters is None else n_clusters - 1, rank)
    iterate = min(values.shape) > _FULL_SVD and wanted < min(values.shape) - 1
    if iterate and sparse.issparse(values):
        vectors, singular = singular_vectors(
            values, wanted, tol=_TOLERANCE, random_state=random_state, n_jobs=n_jobs
        )
    else:
        solver, tol = ("arpack", _TOLERANCE) if iterate else ("full", 0.0)
        pca = PCA(wanted, svd_solver=solver, tol=tol, random_state=random_state)
        projected = pca.fit_transform(values.toarray() if sparse.issparse(values) else values)
        singular = pca.singular_values_
        vectors = projected.astype(np.float64) / np.where(singular > 0, singular, 1)
    singular = singular[singular > _NO_DIRECTION * singular[0]].astype(np.float64)
    if n_clusters is None:
        singular = singular[: common_factors(singular)]
    return vectors[:, : len(singular)].astype(np.float64), singular


def common_factors(singular_values: Floats) -> int:
    """Where the ratio of successive eigenvalues is largest: the number of common factors."""
    if len(singular_values) < 2:
        return 1
    return int(np.argmax(singular_values[:-1] / singular_values[1:])) + 1
