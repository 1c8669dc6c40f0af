"""Two models of hidden clusters, with opposite winners among clustering methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from sigilla.seed import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray


def simulate_rare_weak(
    *,
    n_obs: int = 200,
    n_vars: int = 4000,
    n_clusters: int = 2,
    n_influential: int = 60,
    strength: float = 1.25,
    random_state: int | np.random.Generator | None = 0,
) -> ad.AnnData:
    """Clusters that differ in the means of a few genes, in independent noise.

    The rare/weak model: values are independent and standard normal but for ``n_influential``
    randomly placed genes, whose mean in each cluster is plus or minus ``strength``. Over the plane
    of rarity (``n_influential`` of ``n_vars``) and strength there are regions where no method can
    succeed, where selecting genes is needed, and where all methods succeed. At many weak genes
    plain PCA wins: a balanced shift of less than about 1.5 standard deviations leaves a gene's
    distribution nearly normal.

    Parameters
    ----------
    n_obs, n_vars
        Samples and genes.
    n_clusters
        Number of clusters, 2 or more, of equal size up to one sample.
    n_influential
        Number of genes whose mean differs between clusters.
    strength
        Size of the means, in standard deviations of the noise.
    random_state
        Seed.

    Returns
    -------
    Samples x genes, float32, with ``obs['label']`` (category), ``var['influential_true']`` and
    ``varm['means']`` (genes x clusters).

    References
    ----------
    Jin, Ke & Wang (2017), Phase transitions for high dimensional clustering and related problems,
    Ann. Statist. 45(5):2151-2189. Jin & Wang (2016), Ann. Statist. 44(6):2323-2359.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_rare_weak(n_obs=30, n_vars=100, n_influential=5)
    >>> int(adata.var["influential_true"].sum())
    5
    """
    rng = generator(random_state)
    labels, means = _clusters(rng, n_obs, n_vars, n_clusters, n_influential, strength)
    return _annotated(rng.standard_normal((n_obs, n_vars)), labels, means)


def simulate_gaussian_nuisance(
    *,
    n_obs: int = 150,
    n_vars: int = 3000,
    n_clusters: int = 2,
    n_influential: int = 60,
    strength: float = 1.5,
    n_factors: int = 2,
    loading: float = 0.7,
    random_state: int | np.random.Generator | None = 0,
) -> ad.AnnData:
    """Clusters in a few genes, and stronger normal factors shared by all the others.

    As :func:`simulate_rare_weak`, but each gene that is not influential also carries ``n_factors``
    standard normal factors, common to the samples, with normal loadings of standard deviation
    ``loading``. The factors dominate the principal components and know nothing of the clusters, so
    plain PCA and k-means fail; every such gene is still normal, so the influential-feature step
    passes them over.

    Parameters
    ----------
    n_obs, n_vars, n_clusters, n_influential, strength, random_state
        As in :func:`simulate_rare_weak`.
    n_factors
        Number of nuisance factors.
    loading
        Standard deviation of their loadings.

    Returns
    -------
    Samples x genes, float32, with ``obs['label']`` (category), ``var['influential_true']`` and
    ``varm['means']`` (genes x clusters).

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_gaussian_nuisance(n_obs=30, n_vars=100, n_influential=5)
    >>> adata.shape
    (30, 100)
    """
    rng = generator(random_state)
    labels, means = _clusters(rng, n_obs, n_vars, n_clusters, n_influential, strength)
    factors = rng.standard_normal((n_obs, n_factors))
    loadings = loading * rng.standard_normal((n_factors, n_vars))
    loadings[:, means.any(axis=1)] = 0
    return _annotated(rng.standard_normal((n_obs, n_vars)) + factors @ loadings, labels, means)


def _clusters(
    rng: np.random.Generator,
    n_obs: int,
    n_vars: int,
    n_clusters: int,
    n_influential: int,
    strength: float,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Cluster of each sample, and means genes x clusters."""
    if not 2 <= n_clusters <= n_obs:
        raise ValueError(f"n_clusters={n_clusters} must be from 2 to n_obs={n_obs}")
    if not 0 <= n_influential <= n_vars:
        raise ValueError(f"n_influential={n_influential} must be from 0 to n_vars={n_vars}")
    labels = rng.permutation(np.arange(n_obs) % n_clusters)
    # One cluster of each gene has the sign opposite to another, so that no gene is without effect.
    signs = rng.choice([-1.0, 1.0], size=(n_influential, n_clusters))
    pair = np.argsort(rng.random((n_influential, n_clusters)), axis=1)[:, :2]
    gene = np.arange(n_influential)
    signs[gene, pair[:, 1]] = -signs[gene, pair[:, 0]]
    means = np.zeros((n_vars, n_clusters))
    means[rng.choice(n_vars, n_influential, replace=False)] = strength * signs
    return labels, means


def _annotated(
    noise: NDArray[np.float64], labels: NDArray[np.intp], means: NDArray[np.float64]
) -> ad.AnnData:
    n_obs, n_vars = noise.shape
    names = [f"cluster {k}" for k in range(means.shape[1])]
    return ad.AnnData(
        (noise + means.T[labels]).astype(np.float32),
        obs=pd.DataFrame(
            {"label": pd.Categorical.from_codes(labels, names)},
            index=[f"sample_{i}" for i in range(n_obs)],
        ),
        var=pd.DataFrame(
            {"influential_true": means.any(axis=1)}, index=[f"gene_{j}" for j in range(n_vars)]
        ),
        varm={"means": means},
    )
