"""The Connectivity Map's scores: how much a query's genes move in a signature, and how unusually.

The chain is enrichment score, weighted connectivity (WTCS), normalised connectivity (NCS), tau,
and a summary over cell lines. Every step takes and gives signatures x queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.metrics._enrichment import checked, enrichment_score

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def weighted_connectivity(
    signatures: ArrayLike, *, up: ArrayLike, down: ArrayLike, weight: float = 1.0
) -> NDArray[np.float64]:
    """Weighted connectivity score (WTCS) of queries with signatures.

    Half the difference of the enrichment scores of a query's up- and down-regulated genes where
    their signs differ, else 0. A query with one half only has that half's score (negated for the
    down-regulated genes).

    Parameters
    ----------
    signatures
        Values, signatures x genes.
    up, down
        Booleans, queries x genes: the up- and the down-regulated genes of each query.
    weight
        As in :func:`enrichment_score`.

    Returns
    -------
    Scores, signatures x queries, from -1 to 1: 1 where the query's up-regulated genes are at the
    top of the signature and the others at its bottom, 0 where both halves are at the same end. NaN
    where a half that the query has is NaN in :func:`enrichment_score`, or the query has no gene.

    Raises
    ------
    ValueError
        As :func:`enrichment_score`; or a gene is both up- and down-regulated in a query.
    DataError
        A value is NaN or infinite.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> signatures = [[3.0, 2.0, 1.0, -1.0, -2.0], [-2.0, -1.0, 1.0, 2.0, 3.0]]
    >>> up, down = [[True, False, False, False, False]], [[False, False, False, False, True]]
    >>> sg.metrics.weighted_connectivity(signatures, up=up, down=down)
    array([[ 1.],
           [-1.]])
    """
    _, (ups, downs) = checked(signatures, weight, up=up, down=down)
    if len(ups) != len(downs):
        raise ValueError(f"up has {len(ups)} queries and down {len(downs)}; give both for each")
    both = (ups & downs).any(axis=1)
    if both.any():
        raise ValueError(
            f"{int(both.sum())} of {len(ups)} queries have a gene that is both up and down,"
            f" the first is query {int(np.flatnonzero(both)[0])}; take it out of one of the two"
        )
    return combine_halves(
        enrichment_score(signatures, ups, weight=weight),
        enrichment_score(signatures, downs, weight=weight),
        has_up=np.any(ups, axis=1, keepdims=True).T,
        has_down=np.any(downs, axis=1, keepdims=True).T,
    )


def combine_halves(es_up: Floats, es_down: Floats, *, has_up: Mask, has_down: Mask) -> Floats:
    """WTCS from the two halves of queries (columns), of which one may be without genes."""
    opposed = np.sign(es_up) != np.sign(es_down)
    two_sided = np.where(opposed, (es_up - es_down) / 2, 0.0)
    return np.where(has_up & has_down, two_sided, np.where(has_up, es_up, -es_down))


def normalized_connectivity(
    wtcs: ArrayLike, groups: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Normalised connectivity score (NCS): WTCS over the mean of its sign.

    Positive scores are divided by the mean of the positive ones of their group, negative scores by
    the size of the mean of the negative ones, each query for itself; zeros stay and do not count.

    Parameters
    ----------
    wtcs
        Scores, signatures x queries; NaN is missing.
    groups
        One label per signature, in the Connectivity Map its cell line and type of perturbagen:
        signatures are compared with their like. ``None`` is one group. A signature without a label
        has no score.

    Returns
    -------
    Scores, signatures x queries; NaN where ``wtcs`` is or the label is missing.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> sg.metrics.normalized_connectivity([[0.2], [0.6], [-0.5], [0.0]]).ravel()
    array([ 0.5,  1.5, -1. ,  0. ])
    """
    scores = _scores("wtcs", wtcs)
    codes, _ = _groups(groups, len(scores))
    missing = codes < 0
    result = np.where(missing[:, None], np.nan, scores)
    for sign in (1, -1):
        chosen = (np.sign(scores) == sign) & ~missing[:, None]
        like = pd.DataFrame(np.where(chosen, np.abs(scores), np.nan))
        mean = like.groupby(codes).transform("mean").to_numpy()
        result = np.where(chosen, scores / np.where(chosen, mean, 1.0), result)
    return result


def connectivity_tau(ncs: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Tau: how many reference queries a signature answers to more weakly than to this query.

    Parameters
    ----------
    ncs
        Normalised scores, signatures x queries.
    reference
        Normalised scores of the same signatures with the reference queries, signatures x reference
        queries; NaN is left out.

    Returns
    -------
    Signed percentages, signatures x queries, from -100 to 100: the share of reference queries with
    a smaller ``|NCS|``, with the sign of the query's NCS. NaN where ``ncs`` is, or a signature has
    no reference score.

    Raises
    ------
    ValueError
        The two do not have the same signatures.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> sg.metrics.connectivity_tau([[-1.5]], [[0.5, -1.0, 2.0, 0.0]])
    array([[-75.]])
    """
    scores, others = _scores("ncs", ncs), _scores("reference", reference)
    if len(scores) != len(others):
        raise ValueError(
            f"ncs has {len(scores)} signatures and reference {len(others)}; both need the same"
        )
    known = (~np.isnan(others)).sum(axis=1, keepdims=True)
    # Queries stand before the reference, so that in a stable sort equal scores are not "smaller".
    size = np.concatenate([np.abs(scores), np.where(np.isnan(others), np.inf, np.abs(others))], 1)
    order = np.argsort(size, axis=1, kind="stable")
    smaller = np.empty(size.shape, dtype=np.intp)
    np.put_along_axis(smaller, order, np.cumsum(order >= scores.shape[1], axis=1), axis=1)
    share = np.divide(
        100.0 * smaller[:, : scores.shape[1]],
        known,
        out=np.full(scores.shape, np.nan),
        where=known > 0,
    )
    tau: Floats = np.sign(scores) * share
    return tau


def summarize_connectivity(
    ncs: ArrayLike, groups: ArrayLike, *, low: float = 33.0, high: float = 67.0
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Scores of perturbagens (or classes) from those of their signatures, by the maximum quantile.

    Of the lower and the upper percentile of a perturbagen's scores over its cell lines, the one
    farther from 0: strong in a third of them is enough.

    Parameters
    ----------
    ncs
        Normalised scores, signatures x queries; NaN is left out.
    groups
        One label per signature: its perturbagen, or class. Signatures without a label are left out.
    low, high
        The two percentiles, linearly interpolated; the published ones are 33 and 67.

    Returns
    -------
    The groups, sorted, and their scores, groups x queries; NaN where all signatures are.

    Raises
    ------
    ValueError
        Shapes that do not fit, or percentiles that are not ``0 <= low < high <= 100``.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> names, scores = sg.metrics.summarize_connectivity([[0.0], [1.0], [-3.0]], ["a", "a", "b"])
    >>> names.tolist(), scores.round(2).tolist()
    (['a', 'b'], [[0.67], [-3.0]])
    """
    if not 0 <= low < high <= 100:
        raise ValueError(f"low={low!r} and high={high!r} must be percentiles, low the smaller")
    scores = _scores("ncs", ncs)
    codes, names = _groups(groups, len(scores))
    kept = codes >= 0
    by = pd.DataFrame(scores[kept]).groupby(codes[kept])
    bottom, top = by.quantile(low / 100).to_numpy(), by.quantile(high / 100).to_numpy()
    return names, np.where(np.abs(top) >= np.abs(bottom), top, bottom)


def _scores(argument: str, values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"{argument} must be signatures x queries; it has shape {scores.shape}")
    return scores


def _groups(groups: ArrayLike | None, n: int) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """A number for each label (-1: missing) and the labels that the numbers stand for, sorted."""
    if groups is None:
        return np.zeros(n, dtype=np.intp), np.array(["all"], dtype=object)
    labels = pd.Series(groups, dtype=object)
    if len(labels) != n:
        raise ValueError(f"groups has {len(labels)} labels; it needs one per signature, {n}")
    codes, names = pd.factorize(labels, sort=True)
    return codes.astype(np.intp), np.asarray(names, dtype=object)
