"""How sure the correlations between codes are, and those of class means beside them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sigilla import get, keys
from sigilla.batches import labels_as_fitted, read_as_fitted
from sigilla.errors import listed, require_count, unknown_name
from sigilla.logging import logger
from sigilla.metrics import class_correlation
from sigilla.target import target_of
from sigilla.tl._folds import units_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]

_SPACES = ("genes", "latent")
_UNIT = "pert_id"


def code_correlation(
    adata: AnnData,
    key: str = "svqvae",
    *,
    n_boot: int = 200,
    n_perm: int = 500,
    method: Literal["pearson", "spearman", "cosine"] = "pearson",
    space: Literal["genes", "latent"] | None = None,
    by: str | None = None,
    unit: str | None = _UNIT,
    level: float = 0.95,
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Correlation between codes with intervals, p-values and false discovery rates.

    Signatures of one perturbagen are no independent witnesses of its class, so perturbagens are
    what is resampled and permuted. Each counts once, however many signatures it has. A code
    follows from the class means (of a linear decoder exactly, by least squares otherwise), and
    is refined, not refitted: it moves with the perturbagens that a draw leaves in its class.
    The estimator is that of :func:`sigilla.metrics.class_correlation`. The class means of the
    data get the same statistics, so that a reader sees what the code book adds.

    Subset ``adata`` to ask for one cell line: ``tl.code_correlation(adata[in_mcf7], copy=True)``.

    Parameters
    ----------
    adata
        An AnnData that a method with classes was fitted to, with its labels.
    key
        Name of the result.
    n_boot, n_perm
        Draws for the intervals, permutations for ``pvalue_perm``; 1 or more.
    method
        ``"pearson"``, ``"spearman"`` or ``"cosine"``.
    space
        ``"genes"`` correlates the decoded prototypes, ``"latent"`` the codes; ``None`` takes the
        method's own choice.
    by
        Column of ``obs`` to average over with equal weights, such as ``"cell_id"``: each
        perturbagen stands as if it had been tried in all cell lines, with differences between
        lines that all perturbagens share taken out. ``None`` averages over signatures.
    unit
        Column of ``obs`` with the perturbagen. ``None`` resamples observations, as happens, with
        a warning, where there is no ``"pert_id"``: intervals and p-values are then too small
        for what a new perturbagen would do. An observation without a value is a unit of its own.
    level
        Coverage of the intervals.
    random_state
        Seed of draws and permutations.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following field, see
    :func:`sigilla.get.code_correlation_stats` for a table:

    ``uns[key]['code_correlation_stats']``
        Arrays, classes x classes in code order: ``r`` (of the codes as they are), ``corrected``
        (for the noise of few perturbagens), ``low``, ``high``; ``pvalue``, ``qvalue`` (is it 0?),
        ``pvalue_perm``, ``qvalue_perm`` (is it 0, or do perturbagens dealt by chance reach it?);
        ``means``, the same of the class means; ``n_units`` per class; ``params``. NaN where a
        class has fewer than two perturbagens; the log names it.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``, or no such column of ``obs``.
    DataError
        The method has no codes, no classes, or no genes in this space, or the labels are gone.
    ValueError
        An option outside its bounds.

    References
    ----------
    Xue, Ding & Lu 2019, arXiv:1909.11124 (the correlation of codes)

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[150, 150, 150], n_genes=30)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.tl.code_correlation(adata, n_boot=50, n_perm=50)
    >>> list(sg.get.code_correlation_stats(adata).columns[:5])
    ['class_a', 'class_b', 'r', 'corrected', 'low']
    """
    require_count("n_boot", n_boot)
    require_count("n_perm", n_perm)
    codes = get.code_correlation(adata, key)  # says what is missing, when it is
    stored, names = adata.uns[key], list(codes.index)
    where = _space(space, stored)
    label = labels_as_fitted(adata, key, names)
    units = _units(adata, unit, label)
    line = None if by is None else _lines(adata, by)
    options: dict[str, Any] = {
        "method": method,
        "n_boot": n_boot,
        "n_perm": n_perm,
        "level": level,
        "random_state": random_state,
    }

    features = read_as_fitted(adata, stored)
    profiles = _profiles(adata, key, where)
    observed = features if where == "genes" else np.asarray(adata.obsm[keys.latent(key)])
    by_unit = _unit_means(observed, units, line)
    result = class_correlation(
        by_unit,
        units.class_,
        profiles=profiles,
        mixing=_mixing(profiles, observed, label),
        **options,
    )
    same = where == "genes"
    plain = by_unit if same else _unit_means(features, units, line)
    # Classes without observations have no mean; the code book may still know them.
    means = class_correlation(
        plain, units.class_, profiles=_class_means(plain, units.class_, len(names)), **options
    )

    n_units = np.bincount(units.class_, minlength=len(names))
    _say_what_is_too_small(names, n_units, unit)
    given = options | {"space": where, "by": by, "unit": units.name}
    target = target_of(adata, copy=copy)
    target.uns[key]["code_correlation_stats"] = {
        **dataclasses.asdict(result),
        "means": dataclasses.asdict(means),
        "n_units": n_units,
        "params": {name: value for name, value in given.items() if value is not None},
    }
    return target if copy else None


# -- what is asked for -------------------------------------------------------------------------


def _space(space: str | None, stored: Mapping[str, Any]) -> str:
    if space is not None and space not in _SPACES:
        raise ValueError(unknown_name("space", space, _SPACES))
    return str(stored["correlation_space"]) if space is None else space


def _lines(adata: AnnData, by: str) -> Indices:
    """Values of a column of ``obs`` as integers; -1 where missing."""
    if by not in adata.obs:
        raise KeyError(unknown_name("by", by, adata.obs.columns))
    return np.asarray(pd.factorize(adata.obs[by].astype(object), sort=True)[0], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class _Units:
    """The unit of each labelled observation (-1: not labelled), and the class of each unit."""

    of_observation: Indices
    class_: Indices
    name: str | None


def _units(adata: AnnData, unit: str | None, label: Indices) -> _Units:
    if unit == _UNIT and unit not in adata.obs:
        logger.warning(
            "no obs[%r]: observations are resampled in place of perturbagens, "
            "which makes intervals and p-values too small if they share any",
            unit,
        )
        unit = None
    n = adata.n_obs
    value = np.arange(n) if unit is None else units_of(adata, unit)
    known = np.flatnonzero(label >= 0)
    # A perturbagen with two classes is a unit of both.
    pairs = np.stack([label[known], value[known]], axis=1)
    found, index = np.unique(pairs, axis=0, return_inverse=True)
    of_observation = np.full(n, -1, dtype=np.intp)
    of_observation[known] = index.ravel()
    return _Units(of_observation, found[:, 0].astype(np.intp), unit)


# -- profiles ----------------------------------------------------------------------------------


def _profiles(adata: AnnData, key: str, space: str) -> Floats:
    """Classes x genes or classes x latent."""
    if space == "latent":
        return np.asarray(adata.uns[key]["codes"], dtype=np.float64)
    genes = [str(gene) for gene in adata.uns[key]["genes"]]
    return get.prototypes(adata, key).loc[genes].to_numpy(dtype=np.float64).T


def _mixing(profiles: Floats, observed: NDArray[Any], label: Indices) -> Floats:
    """A of profiles = A class means, as the fit saw them: by observations, not by perturbagens."""
    means = _class_means(observed, label, len(profiles))
    return np.asarray(np.linalg.lstsq(means.T, profiles.T, rcond=None)[0].T)


def _class_means(rows: NDArray[Any], class_: Indices, n_classes: int) -> Floats:
    """Classes x features; 0 for a class without a row."""
    return _averaged(rows, np.where(class_ < 0, n_classes, class_), n_classes + 1)[:-1]


def _unit_means(rows: NDArray[Any], units: _Units, line: Indices | None) -> Floats:
    n_units = len(units.class_)
    own = np.where(units.of_observation < 0, n_units, units.of_observation)
    if line is None:
        return _averaged(rows, own, n_units + 1)[:-1]
    known = (units.of_observation >= 0) & (line >= 0)
    cells, index = np.unique(np.stack([own, line], axis=1)[known], axis=0, return_inverse=True)
    means = _averaged(rows[known], index.ravel(), len(cells))
    return _adjusted(means, cells[:, 0], cells[:, 1], n_units)


def _adjusted(means: Floats, unit: Indices, line: Indices, n_units: int) -> Floats:
    """Mean of each unit over all lines, from unit + line effects by least squares."""
    _, line = np.unique(line, return_inverse=True)
    tried = np.zeros((n_units, line.max(initial=0) + 1))
    tried[unit, line.ravel()] = 1
    n_lines = np.maximum(tried.sum(axis=1), 1)
    by_unit = _averaged(means, unit, n_units)
    share = tried / n_lines[:, None]
    # Normal equations of the line effects once the units' own are swept out.
    left = np.diag(tried.sum(axis=0)) - tried.T @ share
    right = np.zeros((tried.shape[1], means.shape[1]))
    np.add.at(right, line.ravel(), means - by_unit[unit])
    effect = np.linalg.pinv(left) @ right
    return by_unit - share @ effect + effect.mean(axis=0)


def _averaged(rows: NDArray[Any], group: Indices, n_groups: int) -> Floats:
    from scipy import sparse

    count = np.maximum(np.bincount(group, minlength=n_groups), 1)
    weight = sparse.csr_array(
        (1 / count[group], (group, np.arange(len(group)))), shape=(n_groups, len(group))
    )
    return np.asarray(weight @ rows, dtype=np.float64)


def _say_what_is_too_small(names: list[str], n_units: Indices, unit: str | None) -> None:
    small = [name for name, n in zip(names, n_units, strict=True) if n < 2]
    if small:
        what = "observations" if unit is None else f"values of obs[{unit!r}]"
        logger.warning(
            "no interval and no p-value for classes with fewer than two %s: %s", what, listed(small)
        )
