from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from sigilla.nn._precision import in_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference over features: one value per row; ``b`` gets no gradient."""
    return _squared_error(a, b)


class _SquaredError(torch.autograd.Function):
    """Three passes over the data there and back, where torch's own kernels make four."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        apart = a - b
        ctx.save_for_backward(apart)
        return mean_square(apart)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (apart,) = ctx.saved_tensors
        # In place: torch refuses to go back through the same graph again, rather than be wrong.
        return apart.mul_((2 / apart.shape[1] * grads[0])[:, None]), None


# torch leaves apply without types.
_squared_error: Callable[[Tensor, Tensor], Tensor] = _SquaredError.apply


def mean_square(x: Tensor) -> Tensor:
    """Over features, one value per row; a norm makes no matrix of squares on its way."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=1)
    return norm.square() / x.shape[1]


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log N(x; mean, exp(log_var)), summed over features: one value per row.

    ``log_var`` has one value per feature, or one for all; ``x`` gets no gradient.
    """
    log_var = log_var.expand(x.shape[1])
    weighted = _weighted_squares(mean, x, (-log_var).exp())
    return 0.5 * (weighted + log_var.sum() + x.shape[1] * math.log(2 * math.pi))


class _WeightedSquares(torch.autograd.Function):
    """Squared differences, weighted by feature and added up over features."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
        apart = a - b
        squares = apart.square()
        ctx.save_for_backward(apart, squares, weight)
        with in_full(weight):
            return squares.mv(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, Tensor]:
        apart, squares, weight = ctx.saved_tensors
        of_weight = squares.T.mv(grads[0])
        return apart.mul_((2 * grads[0])[:, None]).mul_(weight), None, of_weight


_weighted_squares: Callable[[Tensor, Tensor, Tensor], Tensor] = _WeightedSquares.apply
