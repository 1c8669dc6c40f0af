"""The discriminant analysis that an S-VQ-VAE starts from, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.nn import principal_axes, row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

# Shares of the identity mixed into the covariance, and factors of the squared distance, to
# choose from.
_SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95)
_PRECISIONS = tuple(0.5 * 10 ** (-e / 2) for e in range(8))
_JUDGED_ROWS = 4000  # more do not change which is chosen
# Of more features than this, only the leading principal axes enter: the eigendecomposition of all
# would take longer than the training.
_WIDTH, _AXES = 2000, 512


@dataclass(frozen=True, slots=True)
class Discriminant:
    """A whitening and class means in it; squared distances times ``precision`` are calibrated."""

    projection: Tensor  # d x features
    means: Tensor  # K x d
    shrinkage: float
    precision: float


@dataclass(frozen=True, slots=True)
class _Spread:
    """Class means and the eigenvectors of the pooled within-class covariance."""

    mean: Tensor  # K x m
    count: Tensor  # K
    value: Tensor  # m
    axes: Tensor  # m x m
    average: Tensor  # mean eigenvalue over all features

    @property
    def freedom(self) -> Tensor:
        return (self.count.sum() - (self.count > 0).sum()).clamp_min(1)

    def variance(self, shrinkage: float) -> Tensor:
        """Eigenvalues of (1 - a) S + a tr(S)/p I."""
        shrunk: Tensor = (1 - shrinkage) * self.value + shrinkage * self.average
        return shrunk.clamp_min(1e-8)


def class_means(x: Tensor, label: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Mean (K x features; 0 where empty) and size (K) of each class."""
    count = torch.bincount(label, minlength=n_classes).to(x.dtype)
    total = x.new_zeros(n_classes, x.shape[1]).index_add_(0, label, x)
    return total / count.clamp_min(1)[:, None], count


def residuals(x: Tensor, mean: Tensor, label: Tensor) -> Iterator[Tensor]:
    """Observations less the mean of their class, some rows at a time."""
    start = 0
    for block in row_blocks(x):
        yield block - mean[label[start : start + len(block)]]
        start += len(block)


def without_noise(singular: Tensor, sd: Tensor, n_features: int) -> Tensor:
    """Singular values of noisy rows, with the energy that the noise is expected to add removed.

    Independent noise of that sd adds ``sd^2 n_features`` to every eigenvalue of the rows' products
    on average. Without it, correlations of rows are not pulled towards zero, and directions that
    hold nothing else vanish.
    """
    return (singular.square() - sd.square() * n_features).clamp_min(0).sqrt()


@torch.no_grad()
def discriminant(x: Tensor, label: Tensor, n_classes: int, n_latent: int) -> Discriminant:
    """Linear discriminant of standardised observations, regularised by leave-one-out.

    The covariance is shrunk towards a multiple of the identity by the share whose left-out
    observations are told best (Friedman 1989, doi 10.1080/01621459.1989.10478752). Discriminant
    directions come first in the latent, then the directions of most variance within classes.
    """
    span = None if x.shape[1] <= _WIDTH else principal_axes(x, min(len(x), _AXES))[0]
    reduced = x if span is None else x @ span
    spread = _spread(reduced, label, n_classes, n_features=x.shape[1])
    shrinkage, precision = _leave_one_out(reduced, label, spread)
    scaled = spread.axes / spread.variance(shrinkage).sqrt()
    whitening = scaled @ spread.axes.T
    means = spread.mean @ whitening
    weighted = spread.count.sqrt()[:, None] * means
    _, singular, axes = torch.linalg.svd(weighted, full_matrices=False)
    between = axes[singular > 1e-4 * singular[0]].T  # the rest are directions of nothing
    latent = torch.linalg.qr(torch.cat([between, spread.axes.flip(1)], dim=1)).Q[:, :n_latent]
    projection = (whitening @ latent).T
    return Discriminant(
        projection if span is None else projection @ span.T, means @ latent, shrinkage, precision
    )


def _spread(x: Tensor, label: Tensor, n_classes: int, *, n_features: int) -> _Spread:
    mean, count = class_means(x, label, n_classes)
    scatter = x.new_zeros(x.shape[1], x.shape[1])
    for residual in residuals(x, mean, label):
        scatter.addmm_(residual.T, residual)
    freedom = (count.sum() - (count > 0).sum()).clamp_min(1)
    value, axes = torch.linalg.eigh(scatter / freedom)
    value = value.clamp_min(0)
    # Classes of one observation each have no spread: any positive number serves.
    average = (value.sum() / n_features).clamp_min(1e-8)
    return _Spread(mean, count, value, axes, average)


def _leave_one_out(x: Tensor, label: Tensor, spread: _Spread) -> tuple[float, float]:
    """Shrinkage and precision with the least cross-entropy of left-out observations."""
    judged = torch.nonzero(spread.count[label] > 1)[:, 0]
    if not len(judged):
        return _SHRINKAGES[-1], 1 / x.shape[1]
    judged = judged[torch.randperm(len(judged), device=x.device)[:_JUDGED_ROWS]]
    label = label[judged]
    rotated, mean = x[judged] @ spread.axes, spread.mean @ spread.axes
    size = spread.count[label]
    losses = [
        F.cross_entropy(-precision * distances, label)
        for shrinkage in _SHRINKAGES
        for distances in [_left_out_distances(rotated, mean, label, size, spread, shrinkage)]
        for precision in _PRECISIONS
    ]
    best = int(torch.stack(losses).argmin())
    return _SHRINKAGES[best // len(_PRECISIONS)], _PRECISIONS[best % len(_PRECISIONS)]


def _left_out_distances(
    x: Tensor, mean: Tensor, label: Tensor, size: Tensor, spread: _Spread, shrinkage: float
) -> Tensor:
    """Mahalanobis distances (n x K) of observations to means and covariance made without them.

    Leaving out x changes its class's mean to m - (x - m) / (n - 1), so that its residual r grows
    by n / (n - 1), and the covariance C to C - g r r'; the Sherman-Morrison formula gives the
    inverse, so that all observations are left out in turn at the price of one.
    """
    weight = 1 / spread.variance(shrinkage)
    residual = x - mean[label]
    scaled, scaled_residual = x * weight, residual * weight
    to_means = (mean * weight * mean).sum(dim=1)
    distances = (scaled * x).sum(dim=1, keepdim=True) - 2 * scaled @ mean.T + to_means
    along = (scaled_residual * x).sum(dim=1, keepdim=True) - scaled_residual @ mean.T
    own = F.one_hot(label, len(mean)).to(x.dtype)
    grown = 1 + own * (size / (size - 1) - 1)[:, None]
    g = (1 - shrinkage) * size / (size - 1) / spread.freedom
    leverage = g / (1 - g * (scaled_residual * residual).sum(dim=1)).clamp_min(1e-6)
    return (distances * grown.square() + leverage[:, None] * (along * grown).square()).clamp_min(0)
