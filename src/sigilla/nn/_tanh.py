from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def tanh(x: Tensor) -> Tensor:
    """Of 32 bits and without a gradient, as ``2 sigmoid(2 x) - 1``.

    torch takes a third of the time for its sigmoid that it takes for its tanh; within 2e-7 both
    are the same.
    """
    return (2 * x.float()).sigmoid_().mul_(2).sub_(1)


class Tanh(nn.Module):
    """Always of 32 bits, for what is looked at: half precision is coarse where tanh is flat."""

    def forward(self, x: Tensor) -> Tensor:
        return _tanh(x)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        curve = tanh(x)
        ctx.save_for_backward(curve)
        ctx.dtype = x.dtype
        return curve

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (curve,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.tanh_backward(grads[0], curve)
        return slope.to(ctx.dtype)


# torch leaves apply without types.
_tanh: Callable[[Tensor], Tensor] = _Tanh.apply
