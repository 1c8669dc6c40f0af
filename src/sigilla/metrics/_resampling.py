"""What other units (perturbagens) would have said: resampling, and the interval that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
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


def freedom(units: Units) -> Floats:
    """Degrees of freedom of a pair by Welch and Satterthwaite, at variances that classes share.

    A class of two units often looks free of variance by chance, and its own figure would then
    leave the degrees of freedom to the other class: too many discoveries follow.
    """
    spread = np.square(units.along).sum(axis=0) / max(np.maximum(units.n - 1, 0).sum(), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = spread / units.n[:, None]
        spent = np.square(v) / (units.n - 1)[:, None]
        return np.asarray(np.square(v + v.T) / (spent + spent.T))


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
