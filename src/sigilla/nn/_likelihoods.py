from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference over features: one value per row; ``b`` gets no gradient."""
    return _squared_error(a, b)


class _SquaredError(torch.autograd.Function):
    """Two passes over the data each way, where torch's own kernels make four."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        apart = a - b
        ctx.save_for_backward(apart)
        norm: Tensor = torch.linalg.vector_norm(apart, dim=1)
        return norm.square() / a.shape[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (apart,) = ctx.saved_tensors
        return apart * (2 / apart.shape[1] * grads[0])[:, None], None


# torch leaves apply without types.
_squared_error: Callable[[Tensor, Tensor], Tensor] = _SquaredError.apply


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log N(x; mean, exp(log_var)), summed over features: one value per row.

    ``log_var`` has one value per feature, or one for all.
    """
    # A difference, its square and their gradients are one kernel each in torch's mse_loss, where
    # written out they are seven passes over the data.
    squares = F.mse_loss(mean, x, reduction="none")
    weighted = (squares * (-log_var).exp()).sum(dim=1)
    log_det = log_var.expand(x.shape[1]).sum()
    return 0.5 * (weighted + log_det + x.shape[1] * math.log(2 * math.pi))
