"""Weighted Kolmogorov-Smirnov enrichment: running sums through ranked values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sigilla.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Signatures ranked at a time, so that memory does not grow with the number of signatures.
_BLOCK = 2048


class Ranking(NamedTuple):
    """Signatures sorted once, for any number of gene sets."""

    places: NDArray[np.intp]
    weights: Floats


def rank_genes(signatures: Floats, weight: float) -> Ranking:
    """The place of every gene in its signature (0 the largest value), and its weight in a walk."""
    order = np.argsort(-signatures, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(signatures.shape[1])[None, :], axis=1)
    return Ranking(places, np.abs(signatures) ** weight)


def walk(ranking: Ranking, members: Mask) -> Floats:
    """The enrichment score of one gene set in every ranked signature; NaN without any weight."""
    n_genes = len(members)
    inside = np.flatnonzero(members)
    places = ranking.places[:, inside]
    if not len(inside):
        return np.full(len(places), np.nan)
    order = np.argsort(places, axis=1)
    weights = np.take_along_axis(ranking.weights[:, inside], order, axis=1)
    total = weights.sum(axis=1, keepdims=True)
    steps = np.divide(weights, total, out=np.full_like(weights, np.nan), where=total > 0)
    # The walk turns at the members only: highest right after one, lowest right before one.
    passed = np.take_along_axis(places, order, axis=1) - np.arange(len(inside))
    after = np.cumsum(steps, axis=1) - passed / (n_genes - len(inside))
    peak, trough = after.max(axis=1), (after - steps).min(axis=1)
    farthest: Floats = np.where(peak >= -trough, peak, trough)
    return farthest


def walk_classes(order: NDArray[np.intp], weights: Floats, labels: NDArray[np.intp]) -> Floats:
    """The enrichment scores of all classes of a partition at once.

    ``order`` has the items in the order of each ranking (rankings x items), ``weights`` theirs in
    that order, ``labels`` the class of each item: 0 to K - 1, or -1. Rankings x classes.
    """
    n_items = len(labels)
    # A stable sort by class keeps the order of the ranking within each, and classes have the same
    # columns in every ranking.
    small = np.int16 if labels.max(initial=0) < 2**15 else np.int64  # sorted by radix
    ranked = labels.astype(small)[order]
    unlabelled = int((labels < 0).sum())
    places = np.argsort(ranked, axis=1, kind="stable")[:, unlabelled:]
    sizes = np.bincount(labels[labels >= 0])
    starts = np.cumsum(sizes) - sizes
    steps = np.take_along_axis(weights, places, axis=1)
    total = np.add.reduceat(steps, starts, axis=1)
    some = total > 0
    steps = steps / np.repeat(np.where(some, total, 1.0), sizes, axis=1)
    # A running sum over all classes, less what it was before the class: one for each with weight.
    before: NDArray[np.intp] = np.cumsum(some, axis=1) - some
    inside = np.cumsum(steps, axis=1) - np.repeat(before, sizes, axis=1)
    passed = places - (np.arange(len(places[0])) - np.repeat(starts, sizes))
    after = inside - passed / np.repeat(np.maximum(n_items - sizes, 1), sizes)
    peak = np.maximum.reduceat(after, starts, axis=1)
    trough = np.minimum.reduceat(after - steps, starts, axis=1)
    farthest: Floats = np.where(peak >= -trough, peak, trough)
    return np.where(some, farthest, np.nan)


def enrichment_score(
    signatures: ArrayLike, members: ArrayLike, *, weight: float = 1.0
) -> NDArray[np.float64]:
    """Weighted Kolmogorov-Smirnov enrichment of gene sets at the ends of signatures.

    The genes of a signature are walked through from the largest value to the smallest. A member of
    the set moves the walk up by its share of the members' ``|value| ** weight``, another gene moves
    it down by one over their number; the score is where the walk is farthest from 0.

    Parameters
    ----------
    signatures
        Values, signatures x genes, such as moderated z-scores. Equal values rank in the order of
        the genes.
    members
        Booleans, sets x genes.
    weight
        Exponent of the values: 1 as in the Connectivity Map, 0 for the plain statistic.

    Returns
    -------
    Scores, signatures x sets, from -1 (all members at the bottom) to 1 (at the top). NaN where a
    set is empty, or all its genes are 0 in a signature.

    Raises
    ------
    ValueError
        Shapes that do not fit, a set of all genes, or a negative ``weight``.
    DataError
        A value is NaN or infinite.

    References
    ----------
    Subramanian et al. (2005), Gene set enrichment analysis, PNAS 102:15545-15550.

    Examples
    --------
    >>> import sigilla as sg
    >>> signature = [[3.0, 2.0, 1.0, -1.0, -2.0]]
    >>> sg.metrics.enrichment_score(signature, [[True, False, True, False, False]]).round(4)
    array([[0.75]])
    """
    x, (sets,) = checked(signatures, weight, members=members)
    scores = np.empty((len(x), len(sets)))
    for start in range(0, len(x), _BLOCK):
        ranking = rank_genes(x[start : start + _BLOCK], weight)
        for column, chosen in enumerate(sets):
            scores[start : start + _BLOCK, column] = walk(ranking, chosen)
    return scores


def checked(signatures: ArrayLike, weight: float, **sets: ArrayLike) -> tuple[Floats, list[Mask]]:
    """Signatures and gene sets as arrays, if they fit together."""
    x = np.asarray(signatures, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"signatures must be signatures x genes; it has shape {x.shape}")
    if not np.isfinite(x).all():
        raise DataError(
            f"signatures has {int((~np.isfinite(x)).sum())} NaN or infinite values;"
            " leave those genes or signatures out"
        )
    if weight < 0:
        raise ValueError(f"weight={weight!r} must not be negative")
    masks = []
    for name, given in sets.items():
        mask = np.asarray(given)
        if mask.dtype != bool or mask.ndim != 2 or mask.shape[1] != x.shape[1]:
            raise ValueError(
                f"{name} must be booleans, sets x {x.shape[1]} genes;"
                f" it is of type {mask.dtype} and shape {mask.shape}"
            )
        if mask.all(axis=1).any():
            raise ValueError(f"a set of {name} holds every gene, so that none is left to compare")
        masks.append(mask)
    return x, masks
