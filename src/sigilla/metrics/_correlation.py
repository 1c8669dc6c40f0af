"""Correlation of classes that are known from a few perturbagens each, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse
from scipy.stats import t

from sigilla.errors import require_count, unknown_name
from sigilla.metrics._fdr import false_discovery_rate
from sigilla.metrics._resampling import (
    Moderated,
    Units,
    cosine,
    fieller,
    moderated,
    ranked,
    resampled,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Method = Literal["pearson", "spearman", "cosine"]
_METHODS = ("pearson", "spearman", "cosine")


@dataclass(frozen=True, slots=True)
class ClassCorrelation:
    """Classes x classes each; intervals and p-values are NaN where a class has one unit or none.

    ``r`` is the correlation of the profiles as they are, ``corrected`` that of the noise-free
    profiles, ``low`` and ``high`` its interval. ``pvalue`` and ``qvalue`` ask whether it is 0,
    ``pvalue_perm`` and ``qvalue_perm`` whether it is more than what chance makes of the units.
    """

    r: Floats
    corrected: Floats
    low: Floats
    high: Floats
    pvalue: Floats
    qvalue: Floats
    pvalue_perm: Floats
    qvalue_perm: Floats


def class_correlation(
    units: ArrayLike,
    classes: ArrayLike,
    *,
    profiles: ArrayLike | None = None,
    mixing: ArrayLike | None = None,
    method: Method = "pearson",
    n_boot: int = 200,
    n_perm: int = 500,
    level: float = 0.95,
    random_state: int = 0,
) -> ClassCorrelation:
    r"""Correlation between the profiles of classes, with intervals, p-values and FDR.

    The units (perturbagens) of a class are a sample of those it could have. Their noise makes the
    correlation :math:`r` of class profiles too small, which no resampling of :math:`r` itself
    shows. So the products of profiles are corrected for it,

    .. math::
        H = P P^T - A \, \mathrm{diag}(\nu) \, A^T, \qquad
        \nu_j = \frac{\sum_{p \in j} |u_p - \bar u_j|^2}{n_j (n_j - 1)}, \qquad
        \rho_{ab} = H_{ab} / \sqrt{H_{aa} H_{bb}}

    where the profiles :math:`P` hold the share :math:`A` of each class mean. The interval holds
    every :math:`\rho` at which :math:`(H_{ab} - \rho \sqrt{H_{aa} H_{bb}}) / |p_a| |p_b|` is no
    further from 0 than Student's t allows (Fieller 1954): its standard error is that of ``n_boot``
    draws of units within their classes, moderated (Smyth 2004): what two or three units say of
    their variance is drawn towards what those of all other classes say, and gains their degrees of
    freedom as far as classes agree. Both classes of a pair bring the product of their noise; it is
    counted once. Where a class's signal is no stronger than its noise, the far end of the interval
    is -1 or 1, or both are.

    There are two tests, each with its false discovery rate over all pairs. Student's t of
    :math:`H_{ab}` asks whether the correlation is 0 (``pvalue``). The other asks more
    (``pvalue_perm``): whether the classes are also more alike, or more opposed, than groups of
    units that chance put together, which what all units share makes alike too. It is the larger of
    the first p-value and of a second one, which ranks that t among those of the means of
    ``n_perm`` permutations of the units among the classes, in pairs of about the same sizes.

    Parameters
    ----------
    units
        Units x features: mean profile of each unit.
    classes
        Class of each unit, an integer from 0.
    profiles
        Classes x features; the means of the classes' units by default. Codes are others.
    mixing
        Classes x classes, the linear part of how the profiles follow from the class means; the
        identity by default.
    method
        ``"pearson"``, ``"cosine"`` or ``"spearman"``; the correction of the last is that of
        Pearson's correlation, and so are both tests.
    n_boot, n_perm
        Draws and permutations, 1 or more.
    level
        Coverage of the intervals, between 0 and 1.
    random_state
        Seed of draws and permutations.

    Returns
    -------
    A :class:`ClassCorrelation`. A class of fewer than two units has no interval and no p-value.

    Raises
    ------
    ValueError
        Shapes that do not fit, an option outside its bounds.

    References
    ----------
    Fieller 1954, J R Stat Soc B 16:175; Smyth 2004, Stat Appl Genet Mol Biol 3:3; Welch 1947,
    Biometrika 34:28; Chung & Romano 2013, Ann Stat 41:484 (studentised permutations); Benjamini &
    Hochberg 1995, J R Stat Soc B 57:289

    Examples
    --------
    >>> units = [[1, 2, 3, 5], [2, 2, 3, 6], [4, 3, 2, 1], [5, 3, 2, 1]]
    >>> found = class_correlation(units, [0, 0, 1, 1])
    >>> bool(found.corrected[0, 1] < found.r[0, 1] < 0)
    True
    """
    x, index, shape = _checked(units, classes, profiles, n_boot, n_perm, level)
    if method not in _METHODS:
        raise ValueError(unknown_name("method", method, _METHODS))
    if method != "cosine":
        x = x - x.mean(axis=1, keepdims=True)
    k = shape[0]
    member = (index[:, None] == np.arange(k)).astype(np.float64)
    n = member.sum(axis=0)
    means = member.T @ x / np.maximum(n, 1)[:, None]
    p = means if profiles is None else np.asarray(profiles, dtype=np.float64)
    if method != "cosine":
        p = p - p.mean(axis=1, keepdims=True)
    share = np.eye(k) if mixing is None else np.asarray(mixing, dtype=np.float64)
    deviation = x - means[index]
    energy = np.square(deviation).sum(axis=1) @ member
    product = p @ p.T
    seen = Units(n, member, deviation @ p.T, energy, product)
    noise = seen.noise
    signal = product - (share * noise) @ share.T
    rng = np.random.default_rng(random_state)

    alike = _alike(deviation, member, energy)
    twice = _twice(alike, noise, np.square(share) @ noise)
    pvalue = _studentised(signal, moderated(seen, twice))
    null = np.stack(list(_permuted(x, member, n_perm, rng)))
    chance = np.fmax(pvalue, _rank_among(_signed(pvalue, signal), null, _similar_sizes(n)))

    ranks = method == "spearman"
    numerator, reach, moments = resampled(seen, p, deviation, signal, n_boot, rng, ranks=ranks)
    varied = moderated(seen, twice, strength=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = seen.variance(seen.turning)
        wider = np.sqrt(varied.pair / (plain + plain.T))
        corrected = np.clip(np.where(reach > 0, numerator / reach, np.nan), -1, 1)
    critical = t.ppf((1 + level) / 2, varied.pair_freedom) * wider
    low, high = fieller(numerator, reach, *moments, critical=critical)
    r = cosine(ranked(p) if ranks else p)
    for values, own in ((r, 1), (corrected, 1), (low, np.nan), (high, np.nan)):
        np.fill_diagonal(values, own)
    for values in (pvalue, chance):
        np.fill_diagonal(values, np.nan)
    return ClassCorrelation(r, corrected, low, high, pvalue, _fdr(pvalue), chance, _fdr(chance))


# -- what the data say -------------------------------------------------------------------------


def _checked(
    units: ArrayLike,
    classes: ArrayLike,
    profiles: ArrayLike | None,
    n_boot: int,
    n_perm: int,
    level: float,
) -> tuple[Floats, NDArray[np.intp], tuple[int, int]]:
    x, index = np.asarray(units, dtype=np.float64), np.asarray(classes, dtype=np.intp)
    if x.ndim != 2 or index.shape != x.shape[:1]:
        raise ValueError(f"units {x.shape} must be 2-d, with one of classes {index.shape} each")
    require_count("n_boot", n_boot)
    require_count("n_perm", n_perm)
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must lie between 0 and 1, as 0.95")
    k = int(index.max(initial=0)) + 1 if profiles is None else np.shape(profiles)[0]
    shape = (k, x.shape[1])
    if profiles is not None and np.shape(profiles) != shape:
        raise ValueError(
            f"profiles {np.shape(profiles)} must have the {shape[1]} features of units"
        )
    if index.size and not 0 <= index.min() <= index.max() < k:
        raise ValueError(f"classes must be integers from 0 to {k - 1}")
    return x, index, shape


def _alike(deviation: Floats, member: Floats, energy: Floats) -> float:
    """Mean squared cosine of two deviations of different classes; 1 over their dimension."""

    def squares(rows: Floats) -> float:
        wide = len(rows) < rows.shape[1]
        return float(np.square(rows @ rows.T if wide else rows.T @ rows).sum())

    within = sum(squares(deviation[one > 0]) for one in member.T)
    lengths = energy.sum() ** 2 - np.square(energy).sum()
    return (squares(deviation) - within) / lengths if lengths > 0 else 0.0


def _twice(alike: float, noise: Floats, mixed: Floats) -> Floats:
    """Variance of the product of the noise of a mean (``noise``) and of a mix of means."""
    products = alike * np.outer(noise, mixed)
    return np.asarray((products + products.T) / 2)


def _studentised(signal: Floats, varied: Moderated) -> Floats:
    """Two-sided p-value of Student's t for each pair."""
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.abs(signal) / np.sqrt(varied.pair)
        return np.asarray(2 * t.sf(statistic, varied.pair_freedom))


def _signed(pvalue: Floats, signal: Floats) -> Floats:
    """A number that rises with Student's t, whatever the degrees of freedom, of either sign."""
    return np.asarray(-np.log(np.maximum(pvalue, 1e-300)) * np.sign(signal))


def _permuted(x: Floats, member: Floats, n_perm: int, rng: np.random.Generator) -> Iterator[Floats]:
    """The same for the means of units that are dealt out to the classes anew."""
    length = np.square(x).sum(axis=1)
    n = member.sum(axis=0)
    per_class = np.maximum(n, 1)
    # Sums of rows of the products between units, where these fit; else products of sums.
    products = x @ x.T if len(x) <= 4 * x.shape[1] else None
    # What is shared by deviations from the mean of a class that chance made: hardly differs.
    dealt = rng.permutation(member)
    deviation = x - dealt @ (dealt.T @ x / per_class[:, None])
    alike = _alike(deviation, dealt, dealt.T @ np.square(deviation).sum(axis=1))
    for _ in range(n_perm):
        dealt = rng.permutation(member)
        mean = sparse.csr_array(dealt.T / per_class[:, None])
        with_units = mean @ products if products is not None else (mean @ x) @ x.T
        product = with_units @ mean.T
        along = with_units.T - dealt @ product
        squares = length @ dealt - n * np.diag(product)
        seen = Units(n, dealt, along, squares, product)
        noise = seen.noise
        signal = product - np.diag(noise)
        pvalue = _studentised(signal, moderated(seen, _twice(alike, noise, noise)))
        yield _signed(pvalue, signal)


def _similar_sizes(n: Floats) -> NDArray[np.intp]:
    """A group for each pair of classes, by the sizes of both; -1 where one is too small.

    A pair alone has ``n_perm`` permutations to be ranked among: too few for many comparisons.
    """
    low, high = np.minimum(n, n[:, None]), np.maximum(n, n[:, None])
    rows, columns = np.triu_indices(len(n), 1)
    sizes = np.stack([low[rows, columns], high[rows, columns]], axis=1)
    _, key, count = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    merged = (np.cumsum(count) - count) // len(n)
    group = np.full((len(n), len(n)), -1)
    group[rows, columns] = np.where(sizes[:, 0] > 1, merged[key.ravel()], -1)
    return np.asarray(np.maximum(group, group.T))


def _rank_among(statistic: Floats, null: Floats, group: NDArray[np.intp]) -> Floats:
    """Twice the share of a group's null that is as far out on the side of its sign, with itself."""
    p = np.full_like(statistic, np.nan)
    upper = np.triu(np.ones(statistic.shape, dtype=bool), 1)
    for g in range(group.max(initial=-1) + 1):
        here = (group == g) & ~np.isnan(statistic)
        chance = null[:, (group == g) & upper].ravel()
        chance = np.sort(chance[~np.isnan(chance)])
        # A permutation that is the same up to rounding must not escape the comparison.
        margin = 1e-9 * np.abs(statistic[here])
        above = len(chance) - np.searchsorted(chance, statistic[here] - margin, side="left")
        below = np.searchsorted(chance, statistic[here] + margin, side="right")
        as_extreme = np.where(statistic[here] > 0, above, below)
        p[here] = np.minimum(2 * (1 + as_extreme) / (1 + len(chance)), 1)
    return p


def _fdr(pvalue: Floats) -> Floats:
    """Benjamini & Hochberg over the pairs that have a p-value."""
    pairs = np.triu_indices(len(pvalue), 1)
    q = np.full_like(pvalue, np.nan)
    q[pairs] = q.T[pairs] = false_discovery_rate(pvalue[pairs])
    return q
