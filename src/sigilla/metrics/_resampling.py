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

    Per class: ``n`` and ``energy``, the summed squared lengths of its units' deviations from their
    mean. Units x classes: ``member``, 1 in the own class, and ``along``, the products of a unit's
    deviation with every class's profile. Classes x classes: ``product`` of the profiles.
    """

    n: Floats
    member: Floats
    along: Floats
    energy: Floats
    product: Floats

    @property
    def noise(self) -> Floats:
        """Squared length of the noise in each class mean; a lone unit's is that of all units."""
        freedom = np.maximum(self.n - 1, 0)
        pooled = self.energy.sum() / freedom.sum() if freedom.any() else np.nan
        own = np.where(freedom > 0, self.energy / np.maximum(freedom, 1), pooled)
        return np.asarray(np.where(self.n > 0, own / np.maximum(self.n, 1), 0))

    @property
    def turning(self) -> Floats:
        """``along`` without the part of a deviation that follows the own class's profile.

        That a unit acts more or less strongly than its class makes the profile longer or shorter
        and turns it nowhere.
        """
        own = self.member.argmax(axis=1)
        length = np.diag(self.product)[own]
        strength = self.along[np.arange(len(own)), own] / np.where(length > 0, length, 1)
        return np.asarray(self.along - strength[:, None] * self.product[own])

    def variance(self, along: Floats) -> Floats:
        """[a, b]: variance of <profile a, profile b> that the units of class a bring."""
        pairs = np.where(self.n > 1, self.n * (self.n - 1), np.nan)
        return np.asarray((self.member.T @ np.square(along)) / pairs[:, None])


@dataclass(frozen=True, slots=True)
class Moderated:
    """Variance of <profile a, profile b> that the units of class a bring, and its freedom.

    The product of the noise of both is in what either class brings: ``twice`` is its variance.
    """

    variance: Floats
    freedom: Floats
    twice: Floats

    @property
    def pair(self) -> Floats:
        """Variance of a pair's product."""
        both = self.variance + self.variance.T
        return np.asarray(both - np.minimum(self.twice, both / 2))

    @property
    def pair_freedom(self) -> Floats:
        """Degrees of freedom of that sum (Welch 1947, Satterthwaite)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            spent = np.square(self.variance) / self.freedom
            return np.asarray(np.square(self.variance + self.variance.T) / (spent + spent.T))


def moderated(units: Units, twice: Floats, *, strength: bool = True) -> Moderated:
    """Variances of few units, drawn towards what the other classes' units say (Smyth 2004).

    Two or three units often look free of variance by chance. How much a class varies in all
    (``energy``) is known far better than how much it varies along one profile, and along which
    profiles units vary is known from the other classes. The product of both is the prior, worth as
    many degrees of freedom as it proves right.

    Classes lend each other nothing of how much the strength of their units varies: it is their
    own, or not counted at all where ``strength`` is false.
    """
    own = np.maximum(units.n - 1, 0)
    turning = units.turning
    sums = units.member.T @ np.square(turning)
    with np.errstate(divide="ignore", invalid="ignore"):
        prior, worth = _prior(sums, own, units.energy)
        known = (worth > 0) & (own[:, None] > 0) & (prior > 0) & (sums > 0)
        surprise = np.log(sums / own[:, None] / prior) + _bias(worth) - _bias(own[:, None])
        expected = polygamma(1, worth / 2) + polygamma(1, own[:, None] / 2)
        excess = (np.square(surprise) - expected)[known].mean() if known.any() else np.inf
        # polygamma(1, x) = excess / 2, inverted up to the second order
        right = np.inf if excess <= 0 else (1 + np.sqrt(1 + 2 * excess)) / excess
        weight = np.where(known, np.minimum(right, worth), 0)
        freedom = weight + own[:, None]
        seen = units.member.T @ np.square(units.along) if strength else sums
        variance = (np.where(known, weight * prior, 0) + seen) / freedom
    return Moderated(variance / np.where(units.n > 1, units.n, np.nan)[:, None], freedom, twice)


def _prior(sums: Floats, own: Floats, energy: Floats) -> tuple[Floats, Floats]:
    """[a, b]: variance of a unit of class a along profile b, by all other classes; its freedom.

    A class is no judge of the direction of its own profile.
    """
    level = np.where(own > 0, energy / own, 0)
    counted = np.where(level > 0, own, 0)
    apart = 1 - np.eye(len(own))
    share = np.where(level > 0, 1 / level, 0)[:, None] * sums * apart
    worth = np.maximum(counted.sum() - counted[:, None] - counted, 0) * apart
    return level[:, None] * (share.sum(axis=0) - share) / worth, worth


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
    """Correlation with noise, what noise leaves of one that is 1; their variances and covariance.

    A draw moves a profile by the mean deviation of the drawn units. To first order its product
    with another profile moves by ``along``, and the correlation of both by ``turning``: also for
    codes, which follow their class mean within the space that all codes span, where every profile
    lies (the tangent of low-rank matrices).
    """
    own, length = np.maximum(np.diag(signal), 0), np.diag(units.product)
    scale = np.where(length > 0, np.sqrt(length), 1)
    numerator = cosine(ranked(profiles)) if ranks else signal / np.outer(scale, scale)
    reach = np.sqrt(np.outer(own, own)) / np.outer(scale, scale)
    # d log(reach) = (d log(own_a / length_a) + d log(own_b / length_b)) / 2, d own = d length
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(own > 0, 1 / own - 1 / length, 0)
    strength = np.sum(units.along * units.member, axis=1)
    turning = units.turning / scale
    total = np.zeros((5, *signal.shape))
    for weights in _draws(units, n_boot, rng):
        if ranks:
            moved = cosine(ranked(profiles + weights @ deviation)) - numerator
        else:
            turned = (weights @ turning) / scale[:, None]
            moved = turned + turned.T
        change = gain * (weights @ strength)
        stretched = reach * (change[:, None] + change)
        total += (moved, stretched, moved * moved, moved * stretched, stretched * stretched)
    total /= n_boot
    # The centre of linear draws is known to be 0; that of ranks is not.
    centre = total[0] if ranks else np.zeros_like(signal)
    unknown = units.n < 2
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
