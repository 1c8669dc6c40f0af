"""IF-VAE: subject clustering by a small VAE of the influential features."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sigilla.errors import require_count
from sigilla.logging import logger
from sigilla.models import VAE
from sigilla.tl._ifpca import leading_vectors
from sigilla.tl._store import embed
from sigilla.tl._subjects import check_n_clusters, choose, cluster_rows, write
from sigilla.train import fit, resolve_device

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from torch import device

    from sigilla.pp._selection import NullName

    Recipe = Literal["sigilla", "chen2023"]

# What Chen, Jin & Ke (2023) wrote into their script.
_PUBLISHED = {"n_latent": 25, "max_epochs": 100, "learning_rate": 5e-4, "batch_size": 50}
# As much training for thousands of cells as for a microarray set: three batches an epoch.
_EPOCHS, _STEPS = 100, 300
# A step of Adam moves each weight by the rate, so what a unit of p genes says by p times as much:
# the rate must fall with p (Yang & Hu 2021), or the latent runs away from its start.
_RATE, _GENES = 5e-4, 500


def ifvae(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    recipe: Recipe = "sigilla",
    select: bool = True,
    scale: bool = True,
    n_latent: int | None = None,
    n_hidden: int = 64,
    max_epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int = 64,
    n_restarts: int = 5,
    null: NullName = "table",
    fraction: float = 1.0,
    n_init: int = 100,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    key_added: str = "ifvae",
    random_state: int = 0,
    n_jobs: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Cluster samples in the latent space of a VAE of their influential genes.

    Influential genes are chosen as by :func:`sigilla.pp.influential_features`; a VAE of K - 1
    latent dimensions is fitted to them, and k-means clusters the posterior means. The VAE starts
    at the probabilistic PCA of the genes, so that before the first epoch the method is IF-PCA, and
    has one noise variance for all genes. Restarts share that start, so that their latent axes
    agree, and their posterior means are averaged: with a few dozen samples a single fit is left
    to chance. Labels are never looked at.

    Parameters
    ----------
    adata
        Samples x genes, roughly normal within a class (log expression); dense, sparse, backed or
        dask.
    n_clusters
        Number of clusters K; ``None`` estimates it as :func:`sigilla.tl.ifpca` does.
    recipe
        ``"sigilla"``, or ``"chen2023"``: network, objective and schedule as published, with their
        faults (see ``recipe`` of :func:`sigilla.tl.vae`), for comparison. It fixes ``n_latent``,
        ``max_epochs``, ``learning_rate``, ``batch_size`` and one restart, and trains on all
        samples, where the published script held out a tenth without using it.
    select
        ``False`` uses all genes: the plain VAE.
    scale
        ``False`` gives the VAE the genes centred but not divided by their own standard deviation:
        IF-VAE(X). Genes are selected on standardised values in any case.
    n_latent
        Dimensions of the latent; ``None`` is K - 1.
    max_epochs
        Passes over the samples; ``None`` is 100, or as many as make 300 steps if those are fewer,
        so that a fit takes no longer on thousands of cells than on a hundred subjects.
    learning_rate
        Step size of the optimiser; ``None`` is 5e-4 for up to 500 genes, and falls as 1 / genes
        above.
    n_hidden, batch_size
        As in :func:`sigilla.tl.vae`.
    n_restarts
        Fits, of which the latent is the average.
    null, fraction
        As in :func:`sigilla.pp.influential_features`.
    n_init
        Starts of k-means, of which the best counts.
    layer
        Matrix to use in place of ``X``.
    mask_var
        Genes to consider: a boolean column of ``var``, or a mask.
    key_added
        Replaces ``"ifvae"`` in the names below.
    random_state
        Seed of the fits and of k-means.
    n_jobs
        Threads of the scoring, and of a PCA that estimates ``n_clusters`` from a large sparse
        matrix; ``None`` is every available core.
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ...
    progress
        Show bars; ``None`` on a terminal or in a notebook only.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields:

    ``obs['ifvae']``
        Cluster of each sample, ``"0"`` the largest.
    ``obsm['X_ifvae']``
        Posterior mean of each sample, averaged over the restarts, n x n_latent.
    ``uns['ifvae']``
        ``n_clusters``, ``n_genes``, ``inertia``, ``restarts`` (the loss of each fit), ``history``,
        ``params``, and the restart with the best evidence lower bound (``model``, ``weights``),
        which :func:`sigilla.get.model` restores.
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
    Chen, Jin & Ke (2023), Subject clustering by IF-PCA and several recent methods, Front. Genet.
    14:1166404. Tipping & Bishop (1999), Probabilistic principal component analysis, JRSS B
    61(3):611-622. Yang & Hu (2021), Tensor programs IV: feature learning in infinite-width neural
    networks, ICML.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_rare_weak(n_obs=100, n_vars=1000, strength=2.0)
    >>> sg.tl.ifvae(adata, 2, max_epochs=10, n_restarts=1)
    >>> sg.metrics.clustering_error(adata.obs["label"], adata.obs["ifvae"])
    0
    """
    check_n_clusters(n_clusters, adata.n_obs)
    require_count("n_restarts", n_restarts)
    options = {
        "n_latent": 1 if n_latent is None else n_latent,
        "max_epochs": epochs(adata.n_obs, batch_size) if max_epochs is None else max_epochs,
        "learning_rate": _RATE if learning_rate is None else learning_rate,
        "batch_size": batch_size,
    }
    if recipe == "chen2023":
        options, n_restarts = _PUBLISHED, 1
    config = VAE.Config(
        **options,
        n_hidden=n_hidden,
        noise="shared",
        scale=scale,
        recipe=recipe,
        validation_fraction=0,
    )
    where = resolve_device(device)
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
    values = chosen.values(scale=False)
    if n_clusters is None:
        _, singular = leading_vectors(values, None, random_state=random_state, n_jobs=n_jobs)
        n_clusters = len(singular) + 1
        logger.info("n_clusters estimated as %d", n_clusters)
    if recipe == "sigilla" and n_latent is None:
        config = dataclasses.replace(config, n_latent=n_clusters - 1)
    if recipe == "sigilla" and learning_rate is None:
        rate = _RATE * min(1.0, _GENES / values.shape[1])
        config = dataclasses.replace(config, learning_rate=rate)
    x = np.asarray(values if isinstance(values, np.ndarray) else values.toarray(), np.float32)
    fits = [
        _fit(x, config, random_state + restart, device=where, progress=progress)
        for restart in range(n_restarts)
    ]
    losses = np.array([history["loss"][-1] if "loss" in history else 0.0 for _, history in fits])
    model, history = fits[int(losses.argmin())]
    latent = np.mean([embed(fitted, x)["latent"] for fitted, _ in fits], axis=0, dtype=np.float64)
    clusters = cluster_rows(latent, n_clusters, n_init=n_init, random_state=random_state)
    description = model.describe()
    return write(
        adata,
        key_added,
        chosen,
        latent,
        clusters,
        stored={
            "method": model.name,
            "n_genes": x.shape[1],
            "restarts": losses,
            "history": history,
            "model": json.dumps(description),
            "weights": model.state(),
        },
        params={"n_init": n_init, **description["config"]},
        copy=copy,
    )


def epochs(n_obs: int, batch_size: int) -> int:
    """The default number of passes over so many samples."""
    if batch_size < 1:
        return _EPOCHS  # the config refuses such a batch by name
    return min(_EPOCHS, math.ceil(_STEPS / math.ceil(n_obs / batch_size)))


def _fit(
    x: NDArray[np.float32], config: Any, seed: int, *, device: device, progress: bool | None
) -> tuple[VAE, dict[str, NDArray[np.float64]]]:
    model = VAE(config, n_features=x.shape[1], seed=seed)
    history = fit(model, x, random_state=seed, device=device, progress=progress)
    return model, history
