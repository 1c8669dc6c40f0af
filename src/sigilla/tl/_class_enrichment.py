"""Which classes are enriched among the nearest signatures of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import DataError, listed, require_count, unknown_name
from sigilla.metrics._enrichment import walk_classes
from sigilla.metrics._fdr import false_discovery_rate
from sigilla.tl._neighbours import Metric, read_neighbours

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

_NO_SIMILARITY = "the query is like and unlike no signature of the class"
_NO_ABOVE = "no permutation scored above 0, so nes has nothing to be compared with"


def class_enrichment(
    query: AnnData,
    reference: AnnData,
    *,
    label_key: str = "pcl",
    unit_key: str | None = "pert_id",
    n_perm: int = 1000,
    min_size: int = 3,
    metric: Metric = "correlation",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    random_state: int = 0,
) -> pd.DataFrame:
    """Enrichment of classes (PCLs, mechanisms) among the signatures nearest to each query.

    The reference is ordered by its similarity to the query, and each class is scored as gene sets
    are (:func:`sigilla.metrics.enrichment_score`). The scores are compared with those of classes
    dealt out anew. Signatures of one perturbagen are no independent witnesses, so whole
    perturbagens change their class.

    Parameters
    ----------
    query, reference
        Signatures x genes. Without ``use_rep`` the genes that both have are compared.
    label_key
        Column of ``reference.obs`` with the classes. Signatures without one count as others.
    unit_key
        Column of ``reference.obs`` with the perturbagen, which has one class. ``None`` permutes
        single signatures, which makes p-values too small where a perturbagen has several.
    n_perm
        Permutations; the smallest p-value is ``1 / (n_perm + 1)``.
    min_size
        Classes with fewer signatures are left out.
    metric, use_rep, layer, mask_var
        As in :func:`sigilla.tl.retrieve`. Euclidean distances count as far as they are below or
        above the query's mean distance.
    random_state
        Seed of the permutations.

    Returns
    -------
    A DataFrame, for each query by p-value: ``query``, ``class``, ``n`` (signatures), ``n_units``,
    ``es`` (-1 to 1, 1: all of them nearest), ``nes`` (over the mean of the permutations that are
    above 0), ``pvalue`` (of an enrichment at least as high), ``fdr`` (of Benjamini & Hochberg, over
    the classes of a query), and ``missing``: what makes a value of the row missing, else empty.

    Raises
    ------
    KeyError, ValueError
        A column, representation or option that is not there or cannot be.
    DataError
        A perturbagen of two classes, or no class that is large enough.

    References
    ----------
    Subramanian et al. (2005), Gene set enrichment analysis, PNAS 102:15545-15550. Subramanian et
    al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=50, random_state=0)
    >>> query, reference = adata[:1], adata[1:]
    >>> found = sg.tl.class_enrichment(query, reference, unit_key=None, n_perm=99)
    >>> found["class"][0] == query.obs["pcl"].iloc[0]
    True
    """
    for argument, key in (("label_key", label_key), ("unit_key", unit_key)):
        if key is not None and key not in reference.obs:
            raise KeyError(unknown_name(argument, key, reference.obs.columns))
    require_count("n_perm", n_perm)
    classes, labels = _labels(reference, label_key)
    units, unit_labels = _units(reference, unit_key, labels, classes)
    sizes = np.bincount(labels[labels >= 0], minlength=len(classes))
    kept = np.flatnonzero((sizes >= min_size) & (sizes < reference.n_obs))
    if not len(kept):
        raise DataError(
            f"label_key={label_key!r} has no class of at least min_size={min_size} signatures"
            f" beside others; the largest of {len(classes)} has {sizes.max(initial=0)}"
        )
    spaces = read_neighbours(
        query, reference, metric, use_rep=use_rep, layer=layer, mask_var=mask_var
    )
    frames: list[pd.DataFrame] = []
    for rows, distances in spaces.blocks():
        if metric == "euclidean":
            similarity = distances.mean(axis=1, keepdims=True) - distances
        else:
            similarity = 1 - distances
        # The same permutations for every block of queries, however many blocks there are.
        rng = np.random.default_rng(random_state)
        es, nes, pvalues = _enrichment(
            similarity.astype(np.float64),
            kept,
            units,
            unit_labels,
            n_perm=n_perm,
            rng=rng,
        )
        frames.extend(
            pd.DataFrame(
                {
                    "query": name,
                    "class": classes[kept],
                    "n": sizes[kept],
                    "n_units": np.bincount(unit_labels[unit_labels >= 0])[kept],
                    "es": es[i],
                    "nes": nes[i],
                    "pvalue": pvalues[i],
                    "fdr": false_discovery_rate(pvalues[i]),
                    "missing": np.where(
                        np.isnan(es[i]),
                        _NO_SIMILARITY,
                        np.where(np.isnan(nes[i]), _NO_ABOVE, ""),
                    ),
                }
            ).sort_values(["pvalue", "nes"], ascending=[True, False], kind="stable")
            for i, name in enumerate(query.obs_names[rows])
        )
    return pd.concat(frames, ignore_index=True)


def _enrichment(
    similarity: NDArray[np.float64],
    classes: NDArray[np.intp],
    units: NDArray[np.intp],
    unit_labels: NDArray[np.intp],
    *,
    n_perm: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores, normalised scores and p-values, queries x classes."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    weights = np.abs(np.take_along_axis(similarity, order, axis=1))

    def scores(dealt: NDArray[np.intp]) -> NDArray[np.float64]:
        return walk_classes(order, weights, dealt[units])[:, classes]

    es = scores(unit_labels)
    higher = np.zeros_like(es)
    above, n_above = np.zeros_like(es), np.zeros_like(es)
    for _ in range(n_perm):
        null = scores(rng.permutation(unit_labels))
        higher += null >= es
        above += np.maximum(null, 0)
        n_above += null > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        nes = np.where(n_above > 0, es * n_above / above, np.nan)
    # Nothing is as high as a score that is not there; that makes it no evidence.
    pvalues = np.where(np.isnan(es), np.nan, (1 + higher) / (1 + n_perm))
    return es, nes, pvalues


def _labels(reference: AnnData, label_key: str) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    codes, names = pd.factorize(reference.obs[label_key].astype(object), sort=True)
    return np.asarray(names, dtype=object), codes


def _units(
    reference: AnnData,
    unit_key: str | None,
    labels: NDArray[np.intp],
    classes: NDArray[np.object_],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The unit of every signature, and the class of every unit."""
    if unit_key is None:
        return np.arange(reference.n_obs), labels
    units, names = pd.factorize(reference.obs[unit_key].astype(object), use_na_sentinel=False)
    first = np.unique(units, return_index=True)[1]
    mixed = np.flatnonzero(labels != labels[first][units])
    if len(mixed):
        unit = units[mixed[0]]
        both = np.unique(labels[units == unit])
        shown = [classes[k] if k >= 0 else "none" for k in both]
        raise DataError(
            f"unit_key={unit_key!r}: {names[unit]!r} has signatures of several classes"
            f" ({listed(shown)}), but a perturbagen has one; correct it, or use unit_key=None"
        )
    return units, labels[first]
