"""New signatures from codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import torch

from sigilla import get, keys
from sigilla.errors import DataError, unknown_name
from sigilla.seed import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Fewer residuals than this say little of a class's own spread: those of all classes serve it.
_ENOUGH = 20


def generate(
    adata: anndata.AnnData,
    classes: str | Sequence[str] | None = None,
    *,
    n: int = 100,
    key: str = "svqvae",
    spread: float = 1.0,
    random_state: int = 0,
) -> anndata.AnnData:
    """Sample signatures of classes: code plus latent noise, decoded.

    The noise is drawn from what separates the fitted observations from their class's code in the
    latent space (of the class itself where it has at least 20, else of all classes).

    Parameters
    ----------
    adata
        A fitted AnnData.
    classes
        Class names, one or several; ``None`` takes all.
    n
        Signatures per class.
    key
        Where the fit is stored.
    spread
        Scale of the noise; 0 gives the prototypes themselves.
    random_state
        Seed.

    Returns
    -------
    A new AnnData, (n x classes) x genes, float32 in the units of the data, with the class in the
    column of ``obs`` that the model was trained on and the genes of the model as ``var_names``.

    Raises
    ------
    KeyError
        No such fit, or no such class.
    DataError
        The method has no codes.

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
    """
    model = get.model(adata, key)
    codes = model.codebook()
    if codes is None:
        raise DataError(f"key={key!r} holds a {model.title}, which has no codes to sample from")
    if n < 1:
        raise ValueError(f"n={n!r} must be at least 1")
    wanted = [classes] if isinstance(classes, str) else list(classes or model.classes)
    for name in wanted:
        if name not in model.classes:
            raise KeyError(unknown_name("classes", name, model.classes))
    label_key = adata.uns[key]["params"].get("label_key", key)
    own = adata.obs[label_key if label_key in adata.obs else key].astype(str).to_numpy()
    rng = generator(random_state)
    centre = codes.detach().cpu().numpy()
    latent = np.asarray(adata.obsm[keys.latent(key)])
    residual = _residuals(latent, centre, own, model.classes)
    z = [
        centre[k] + spread * _draw(residual, own, model.classes[k], n, rng)
        for k in map(model.classes.index, wanted)
    ]
    with torch.no_grad():
        x = model.decode(torch.from_numpy(np.concatenate(z).astype(np.float32))).numpy()
    names = np.repeat(np.array(wanted, dtype=object), n)
    obs = pd.DataFrame({label_key: pd.Categorical(names, categories=wanted)})
    obs.index = pd.Index([f"generated_{i}" for i in range(len(obs))])
    return anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=pd.Index(model.var_names)))


def _residuals(
    latent: NDArray[np.float32],
    codes: NDArray[np.float32],
    own: NDArray[np.str_],
    classes: Sequence[str],
) -> NDArray[np.float32]:
    """Latent minus the code of the observation's class; NaN where it has none."""
    index = pd.Index(classes).get_indexer(own)
    return np.where(index[:, None] >= 0, latent - codes[index], np.nan)


def _draw(
    residual: NDArray[np.float32],
    own: NDArray[np.str_],
    name: str,
    n: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    known = ~np.isnan(residual[:, 0])
    pool = np.flatnonzero(known & (own == name))
    if len(pool) < _ENOUGH:
        pool = np.flatnonzero(known)
    return residual[rng.choice(pool, size=n)]
