"""New signatures from codes, or from clamped nodes of a VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anndata
import numpy as np
import pandas as pd
import torch

from sigilla import get, keys
from sigilla.batches import read_as_fitted
from sigilla.errors import DataError, require_count, require_not_negative, unknown_name
from sigilla.seed import generator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sigilla.models import Model

    Floats = NDArray[np.float32]
    Indices = NDArray[np.intp]

# Signatures of its own that a class needs for its own spread; else those of all classes serve it.
_ENOUGH = 20
# Directions in which genes vary together beside what the decoder shows; the rest is each gene's.
_N_FACTORS = 50
# Signatures that differences within classes are learned from; more are not better, only later.
_ROWS = 20_000


def generate(
    adata: anndata.AnnData,
    classes: str | Sequence[str] | None = None,
    *,
    n: int = 100,
    key: str = "svqvae",
    nodes: Mapping[int, float] | pd.Series | None = None,
    spread: float = 1.0,
    random_state: int = 0,
) -> anndata.AnnData:
    """Sample signatures of classes from a code book, or of clamped nodes from a VAE.

    A signature of a class is its prototype (the decoded code) and two deviations from it, so that
    signatures of a class differ as much as real ones do: what the latent of a random signature of
    the class adds when it is decoded, and a draw of what the decoder leaves, normal, with its
    correlations between genes. No real signature is copied.

    A signature from a VAE is decoded from the values given for some nodes of the latent, and draws
    from the prior, N(0, 1), for all others, as in the paper.

    Parameters
    ----------
    adata
        A fitted AnnData, with the matrix that the model was fitted to.
    classes
        Class names, one or several; ``None`` takes all. For methods with codes.
    n
        Signatures per class, or in all with ``nodes``.
    key
        Where the fit is stored.
    nodes
        Values of some nodes, such as a row of :func:`sigilla.get.signature_nodes`. For methods
        without codes.
    spread
        Scale of what is random; 0 gives the prototypes themselves.
    random_state
        Seed.

    Returns
    -------
    A new AnnData, float32 in the units of the data, with the genes of the model as ``var_names``:
    (n x classes) x genes, with the class in the column of ``obs`` that the model was trained on;
    or n x genes.

    Raises
    ------
    KeyError
        No such fit, or no such class.
    DataError
        The method has no codes and no nodes are given; the data it was fitted to are gone.
    ValueError
        ``n`` below 1, ``spread`` below 0, an empty list of classes; nodes of a method with codes,
        or beyond its latent.

    References
    ----------
    Xue, Ding & Lu 2020, npj Syst Biol Appl 6:35 (doi 10.1038/s41540-020-00158-2).

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> new = sg.tl.generate(adata, list(adata.obs["pcl"].unique()[:2]), n=5)
    >>> new.shape
    (10, 30)
    >>> sg.tl.vae(adata, max_epochs=2)
    >>> sg.tl.generate(adata, key="vae", nodes={0: 3.0, 4: -2.0}, n=5).shape
    (5, 30)
    """
    model = get.model(adata, key)
    require_count("n", n)
    require_not_negative("spread", spread)
    rng = generator(random_state)
    if nodes is not None:
        z = _clamped(
            model, np.asarray(adata.obsm[keys.latent(key)]).shape[1], nodes, n, spread, rng
        )
        return _as_anndata(_decode(model, z), model, None)
    if not model.has_codes:
        raise DataError(
            f"key={key!r} holds a {model.title}, which has no codes to sample from;"
            " give nodes={...}, see sg.get.signature_nodes"
        )
    chosen = model.classes if classes is None else classes
    wanted = [chosen] if isinstance(chosen, str) else list(chosen)
    if not wanted:
        raise ValueError(f"classes={classes!r} names none; leave it out for all")
    for name in wanted:
        if name not in model.classes:
            raise KeyError(unknown_name("classes", name, model.classes))
    prototypes = _decode(model, np.asarray(adata.uns[key]["codes"]))
    label_key = str(adata.uns[key]["params"].get("label_key", key))
    column = label_key if label_key in adata.obs else key
    within = _within(adata, key, model, prototypes, column, rng)
    x = [
        prototypes[k] + spread * _draw(within, k, n, rng) for k in map(model.classes.index, wanted)
    ]
    names = pd.Categorical(np.repeat(np.array(wanted, dtype=object), n), categories=wanted)
    return _as_anndata(np.concatenate(x), model, pd.DataFrame({label_key: names}))


def _as_anndata(x: Floats, model: Model, obs: pd.DataFrame | None) -> anndata.AnnData:
    obs = pd.DataFrame(index=range(len(x))) if obs is None else obs
    obs.index = pd.Index([f"generated_{i}" for i in range(len(x))])
    return anndata.AnnData(
        x.astype(np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(model.var_names))
    )


@torch.no_grad()
def _decode(model: Model, z: NDArray[np.floating]) -> Floats:
    return np.asarray(model.decode(torch.from_numpy(z.astype(np.float32))).numpy())


def _clamped(
    model: Model,
    n_latent: int,
    nodes: Mapping[int, float] | pd.Series,
    n: int,
    spread: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    if model.has_codes:
        raise ValueError(
            f"nodes={dict(nodes)!r}: {model.title} is sampled by classes; leave it out"
        )
    z = spread * rng.normal(size=(n, n_latent))
    for node, value in dict(nodes).items():
        if not 0 <= int(node) < n_latent:
            raise ValueError(f"nodes has {node!r}; the latent has nodes 0 to {n_latent - 1}")
        z[:, int(node)] = value
    return z


class _Within(NamedTuple):
    """How signatures differ from the prototype of their class."""

    label: Indices  # of each signature
    shown: Floats  # what its latent adds when it is decoded, signatures x genes
    factors: Floats  # what is left: directions x genes, scaled, ...
    noise: Floats  # ... and each gene's own standard deviation


def _within(
    adata: anndata.AnnData,
    key: str,
    model: Model,
    prototypes: Floats,
    column: str,
    rng: np.random.Generator,
) -> _Within:
    from sklearn.utils.extmath import randomized_svd

    label = pd.Index(model.classes).get_indexer(adata.obs[column].astype("string"))
    known = np.flatnonzero(label >= 0)
    if len(known) > _ROWS:
        known = np.sort(rng.choice(known, _ROWS, replace=False))
    adata, label = adata[known], label[known]
    size = np.bincount(label, minlength=len(model.classes))
    decoded = _decode(model, np.asarray(adata.obsm[keys.latent(key)]))
    x = read_as_fitted(adata, adata.uns[key])
    shown, total = (_about_class(v - prototypes[label], label, size) for v in (decoded, x))
    # The decoder may show a part of each deviation only: scaled, the rest is uncorrelated with it.
    square = np.square(shown).sum(dtype=np.float64)
    shown *= (shown * total).sum(dtype=np.float64) / square if square else 0.0
    left = total - shown
    several = size[label] > 1  # a signature alone in its class says nothing of differences
    n = max(int(several.sum()), 1)
    n_factors = min(_N_FACTORS, *(side // 2 for side in left[several].shape))
    factors = np.zeros((0, left.shape[1]), dtype=np.float32)
    if n_factors:
        _, s, axes = randomized_svd(left[several], n_factors, random_state=0)
        factors = axes * s[:, None] / np.sqrt(n)
    noise = np.square(left[several]).sum(axis=0) / n - np.square(factors).sum(axis=0)
    return _Within(label, shown, factors, np.sqrt(np.maximum(noise, 0)))


def _about_class(x: Floats, label: Indices, size: Indices) -> Floats:
    """Deviations from the mean of the class, as large as those from its expectation."""
    total = np.zeros((len(size), x.shape[1]), dtype=x.dtype)
    np.add.at(total, label, x)
    mean = total / np.maximum(size, 1)[:, None].astype(x.dtype)
    scale = np.sqrt(size / np.maximum(size - 1, 1)).astype(x.dtype)
    return np.asarray((x - mean[label]) * scale[label, None])


def _draw(within: _Within, k: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    pool = np.flatnonzero(within.label == k)
    if len(pool) < _ENOUGH:
        pool = np.arange(len(within.label))
    left = rng.normal(size=(n, len(within.factors))) @ within.factors
    left += rng.normal(size=(n, len(within.noise))) * within.noise
    return within.shown[rng.choice(pool, size=n)] + left
