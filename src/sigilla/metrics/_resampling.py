"""What other units (perturbagens) would have said: resampling, and the interval that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, polygamma
from scipy.stats import rankdata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Units:
    """Units (perturbagens) about their class: all that resampling them can change.

    Numbers per class: ``n``. Units x classes: ``member``, 1 in the own class, and ``along``, the
    products of a unit's deviation from its class with every class's profile.
    """

    n: Floats
    member: Floats
    along: Floats

    @property
    def pairs(self) -> Floats:
        """``n (n - 1)``: turns a sum of squared deviations into the variance of a mean."""
        return np.where(self.n > 1, self.n * (self.n - 1), np.nan)

    @property
    def variance(self) -> Floats:
        """[a, b]: variance of <profile a, profile b> that the units of class a bring."""
        return np.asarray((self.member.T @ np.square(self.along)) / self.pairs[:, None])


@dataclass(frozen=True, slots=True)
class Moderated:
    """Variance of <profile a, profile b> that the units of class a bring, and its freedom."""

    variance: Floats
    freedom: Floats

    @property
    def pair(self) -> Floats:
        """Variance of a pair's product: both classes bring their own."""
        return np.asarray(self.variance + self.variance.T)

    @property
    def pair_freedom(self) -> Floats:
        """Degrees of freedom of that sum (Welch 1947, Satterthwaite)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            spent = np.square(self.variance) / self.freedom
            return np.asarray(np.square(self.pair) / (spent + spent.T))


def moderated(units: Units, energy: Floats, signal: Floats | None = None) -> Moderated:
    """Variances of few units, drawn towards what the other classes' units say (Smyth 2004).

    Two or three units often look free of variance by chance. How much a class varies in all
    (``energy``, the summed squared lengths of its units' deviations) is known far better than how
    much it varies along one profile, and along which profiles units vary is known from the other
    classes. The product of both is the prior, worth as many degrees of freedom as it proves right.

    With ``signal``, the products of the profiles, it also counts that units act more or less
    strongly, which makes them vary along their own profile and those related to it. For a test of
    unrelated profiles that is of no matter.
    """
    own = np.maximum(units.n - 1, 0)
    sums = units.member.T @ np.square(units.along)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = sums / own[:, None]
        prior, worth = _prior(sums, own, energy, signal)
        known = (worth > 0) & (own[:, None] > 0) & (prior > 0) & (seen > 0)
        surprise = np.log(seen / prior) + _bias(worth) - _bias(own[:, None])
        expected = polygamma(1, worth / 2) + polygamma(1, own[:, None] / 2)
        excess = (np.square(surprise) - expected)[known].mean() if known.any() else np.inf
        # polygamma(1, x) = excess / 2, inverted up to the second order
        right = np.inf if excess <= 0 else (1 + np.sqrt(1 + 2 * excess)) / excess
        weight = np.where(known, np.minimum(right, worth), 0)
        freedom = weight + own[:, None]
        variance = (np.where(known, weight * prior, 0) + sums) / freedom
    return Moderated(variance / np.where(units.n > 1, units.n, np.nan)[:, None], freedom)


def _prior(
    sums: Floats, own: Floats, energy: Floats, signal: Floats | None
) -> tuple[Floats, Floats]:
    """[a, b]: variance of a unit of class a along profile b, by all other classes; its freedom.

    A class is no judge of the direction of its own profile, along which it varies more.
    """
    level = np.where(own > 0, energy / own, 0)
    counted = np.where(level > 0, own, 0)
    apart = 1 - np.eye(len(own))
    share = np.where(level > 0, 1 / level, 0)[:, None] * sums * apart
    worth = np.maximum(counted.sum() - counted[:, None] - counted, 0) * apart
    prior = level[:, None] * (share.sum(axis=0) - share) / worth
    if signal is not None:
        plain = level * share.sum(axis=0) / (counted.sum() - counted)
        lent = np.nansum((np.diag(sums) - own * plain)[counted > 0])
        prior += max(lent / (counted * np.square(np.diag(signal))).sum(), 0) * np.square(signal)
    return prior, worth


def _bias(freedom: Floats) -> Floats:
    """Mean logarithm of a mean square of so many degrees of freedom."""
    return np.asarray(digamma(freedom / 2) - np.log(freedom / 2))


def resampled(
    units: Units,
    profiles: Floats,
    deviation: Floats,
    signal: Floats,
    n_boot: int,
    rng: np.random.Generator,
    *,
    ranks: bool,
) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats]]:
    """Numerator and denominator of the corrected correlation; variances and covariance of both.

    A draw moves a profile by the mean deviation of the drawn units. To first order its product
    with another profile moves by ``along``: also for codes, which follow their class mean within
    the space that all codes span, where every profile lies (the tangent of low-rank matrices).
    """
    own = np.maximum(np.diag(signal), 0)
    length = np.square(profiles).sum(axis=1)
    norm = own / np.where(length > 0, length, 1) if ranks else own
    numerator = cosine(ranked(profiles)) if ranks else signal
    reach = np.sqrt(np.outer(norm, norm))
    # d sqrt(norm_a norm_b) = reach / 2 (d norm_a / norm_a + d norm_b / norm_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(own > 0, 1 / own - (1 / length if ranks else 0), 0)
    total = np.zeros((5, *signal.shape))
    for weights in _draws(units, n_boot, rng):
        along = weights @ units.along
        if ranks:
            moved = cosine(ranked(profiles + weights @ deviation)) - numerator
        else:
            moved = along + along.T
        change = gain * np.diag(along)
        stretched = reach * (change[:, None] + change)
        total += (moved, stretched, moved * moved, moved * stretched, stretched * stretched)
    total /= n_boot
    # The centre of linear draws is known to be 0; that of ranks is not.
    centre = total[0] if ranks else np.zeros_like(signal)
    unknown = np.isnan(units.pairs)
    variances = total[2] - centre**2, total[3] - centre * total[1], total[4]
    for part in variances:
        part[unknown] = part[:, unknown] = np.nan
    return numerator, reach, variances


def _draws(units: Units, n_boot: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weights (classes x units) that make means of drawn units, less the mean of the class.

    Scaled by sqrt(n / (n - 1)), for units stand closer to their own mean than to the true one.
    """
    order = np.argsort(units.member.argmax(axis=1), kind="stable")
    sizes = units.n.astype(np.intp)
    size, start = np.repeat(sizes, sizes), np.repeat(np.cumsum(sizes) - sizes, sizes)
    scale = (1 / np.sqrt(np.where(units.n > 1, units.n * (units.n - 1), np.inf)))[:, None]
    for _ in range(n_boot):
        drawn = order[start + np.floor(rng.random(len(order)) * size).astype(np.intp)]
        times = np.bincount(drawn, minlength=len(order)).astype(np.float64)
        yield scale * units.member.T * (times - 1)


def fieller(
    numerator: Floats, reach: Floats, vn: Floats, cov: Floats, vr: Floats, *, critical: Floats
) -> tuple[Floats, Floats]:
    """All rho in -1..1 with (numerator - rho reach)^2 <= critical^2 variance(rho)."""
    c2 = np.square(critical)
    a, b = np.square(reach) - c2 * vr, numerator * reach - c2 * cov
    c = np.square(numerator) - c2 * vn
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        ends = np.stack([(b - root) / a, (b + root) / a])
    low, high = ends.min(axis=0), ends.max(axis=0)
    # A denominator that may be 0 leaves the far end open, both where the numerator may be 0 too.
    open_ = ~(a > 0)
    near = np.nan_to_num(np.abs(ends).min(axis=0), nan=0)
    sure = c > 0
    low = np.where(open_, np.where(sure & (numerator > 0), near, -1), low)
    high = np.where(open_, np.where(sure & (numerator < 0), -near, 1), high)
    unknown = np.isnan(c)
    low, high = (np.where(unknown, np.nan, np.clip(end, -1, 1)) for end in (low, high))
    return low, high


def ranked(rows: Floats) -> Floats:
    ranks = rankdata(rows, axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True))


def cosine(rows: Floats) -> Floats:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, norm, out=np.full_like(rows, np.nan), where=norm > 0)
    return np.asarray(np.clip(unit @ unit.T, -1, 1))
