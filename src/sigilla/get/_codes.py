from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from sigilla.errors import unknown_name
from sigilla.get._genes import prototypes
from sigilla.get._stored import classes, result_with_codes

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

_SPACES = ("genes", "latent")


def code_correlation(
    adata: AnnData, key: str = "svqvae", *, space: Literal["genes", "latent"] | None = None
) -> pd.DataFrame:
    """Pearson correlation between the codes of all classes.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.
    space
        ``"genes"`` correlates the decoded prototypes, ``"latent"`` the codes themselves, as Xue
        et al. do; ``None`` takes the method's own choice, ``uns[key]["correlation_space"]``.

    Returns
    -------
    Classes x classes, in code order; NaN for a code that is constant.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The method has no codes, or its codes decode to no genes.
    ValueError
        ``space`` is neither of the two.

    References
    ----------
    Xue, Ding & Lu 2019, arXiv:1909.11124

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.get.code_correlation(adata).shape
    (3, 3)
    """
    stored = result_with_codes(adata, key)
    if space is not None and space not in _SPACES:
        raise ValueError(unknown_name("space", space, _SPACES))
    if space is None or space == stored["correlation_space"]:
        r = np.asarray(stored["code_correlation"], dtype=np.float64)
    elif space == "latent":
        r = _pearson(np.asarray(stored["codes"]))
    else:
        r = _pearson(prototypes(adata, key).to_numpy().T)
    names = pd.Index(classes(stored), name="class")
    return pd.DataFrame(r, index=names, columns=names)


def nearest_codes(
    adata: AnnData, key: str = "svqvae", *, space: Literal["genes", "latent"] | None = None
) -> pd.DataFrame:
    """The code most like each code: the edges of the nearest-code graph.

    Parameters
    ----------
    adata, key, space
        As in :func:`code_correlation`.

    Returns
    -------
    One row per class, the closest first: ``code``, ``nearest`` and ``distance``
    (1 - Pearson; 0 is the same profile, 1 unrelated, 2 the opposite). A code without any
    defined correlation comes last, with both missing.

    Raises
    ------
    KeyError, DataError, ValueError
        As in :func:`code_correlation`.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> list(sg.get.nearest_codes(adata).columns)
    ['code', 'nearest', 'distance']
    """
    table = code_correlation(adata, key, space=space)
    names = table.index.to_numpy(dtype=object)
    # Symmetric to the last bit, so that the closest pair always is each other's nearest.
    r = (table.to_numpy() + table.to_numpy().T) / 2
    r = np.where(np.isnan(r), -np.inf, r)
    np.fill_diagonal(r, -np.inf)
    best = r.argmax(axis=1)
    distance = 1 - r[np.arange(len(r)), best]
    found = np.isfinite(distance)
    nearest = pd.DataFrame(
        {
            "code": names,
            "nearest": np.where(found, names[best], None),
            "distance": np.where(found, distance, np.nan),
        }
    )
    return nearest.sort_values("distance", kind="stable", ignore_index=True)


def class_summary(adata: AnnData, key: str = "svqvae") -> pd.DataFrame:
    """How many observations each class has, and how they fall on the codes.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    key
        Name of the result.

    Returns
    -------
    Indexed by class, in code order: ``n``, observations with this label (0 throughout where no
    labels were used); ``n_nearest``, observations whose nearest code is this one; ``on_own_code``,
    the fraction of the ``n`` whose nearest code is their own. These are the observations the
    model was fitted to: held-out accuracy is lower.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The method has no codes.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> list(sg.get.class_summary(adata).columns)
    ['n', 'n_nearest', 'on_own_code']
    """
    stored = result_with_codes(adata, key)
    names = pd.Index(classes(stored), name="class")
    nearest = adata.obs[key].astype("string")
    label_key = stored["params"].get("label_key")
    if label_key is not None and str(label_key) in adata.obs:
        label = adata.obs[str(label_key)].astype("string")
    else:
        label = pd.Series(pd.NA, index=adata.obs_names, dtype="string")
    n = label.value_counts().reindex(names, fill_value=0).astype(int)
    own = label[(label == nearest).fillna(value=False)].value_counts().reindex(names, fill_value=0)
    return pd.DataFrame(
        {
            "n": n,
            "n_nearest": nearest.value_counts().reindex(names, fill_value=0).astype(int),
            "on_own_code": (own / n.where(n > 0)).astype(float),
        },
        index=names,
    )


def _pearson(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    centred = rows.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norm, out=np.full_like(centred, np.nan), where=norm > 0)
    return np.clip(unit @ unit.T, -1, 1)
