from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def tanh_values(x: Tensor) -> Tensor:
    """Of 32 bits, as ``2 sigmoid(2 x) - 1``, within 2e-7; cannot be differentiated.

    On a processor, torch takes several times as long for its tanh as for its sigmoid.
    """
    return (2 * x.float()).sigmoid_().mul_(2).sub_(1)


class Tanh(nn.Module):
    """Always of 32 bits, for what is looked at: half precision is coarse where tanh is flat."""

    def forward(self, x: Tensor) -> Tensor:
        return _tanh(x)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        curve = tanh_values(x)
        ctx.save_for_backward(curve)
        ctx.dtype = x.dtype
        return curve

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (curve,) = ctx.saved_tensors
        of_x: Tensor = torch.ops.aten.tanh_backward(grads[0], curve)
        return of_x.to(ctx.dtype)


# torch leaves apply without types.
_tanh: Callable[[Tensor], Tensor] = _Tanh.apply
