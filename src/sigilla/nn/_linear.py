from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.nn._precision import product_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Multiplications from which the faster product makes up for being called from Python.
_MANY = 2**24


def _onednn() -> Any:
    """Its linear layer, out of the vocabulary of torch.compile, where processors have AVX."""
    has_avx = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    there = has_avx and torch.backends.mkldnn.is_available()
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None) if there else None


_by_onednn = _onednn()


class Linear(nn.Linear):
    """``torch.nn.Linear`` by :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``; on a processor, large products of 32 bits are oneDNN's.

    torch leaves them to MKL, which takes 1.1 to 1.7 times as long on processors of AMD.
    """
    if _is_for_onednn(x, weight, bias):
        return _linear(x, weight, bias)
    return F.linear(x, weight, bias)


def _is_for_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        _by_onednn is not None
        and x.device.type == "cpu"
        and x.layout is torch.strided
        and x.ndim == 2
        and x.shape[1] == weight.shape[1]  # else torch says what is wrong
        and x.dtype == product_type(weight) == torch.float32
        # It takes no notice of the strides of a bias.
        and (bias is None or (bias.shape == weight.shape[:1] and bias.is_contiguous()))
        and x.numel() * len(weight) >= _MANY
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, weight, bias = given
        needs = ctx.needs_input_grad
        ctx.save_for_backward(x if needs[1] else None, weight if needs[0] else None)
        y: Tensor = _by_onednn(x, weight, bias, "none", [], "")
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (of_y,) = grads
        needs = ctx.needs_input_grad
        of_x = linear(of_y, weight.T) if needs[0] else None
        of_weight = _of_weight(of_y, x) if needs[1] else None
        return of_x, of_weight, of_y.sum(0) if needs[2] else None


def _of_weight(of_y: Tensor, x: Tensor) -> Tensor:
    # oneDNN has of_y turned round first, which costs more than it gains where of_y is the larger.
    return of_y.T @ x if of_y.shape[1] > 2 * x.shape[1] else linear(of_y.T, x.T)


# torch leaves apply without types.
_linear: Callable[..., Tensor] = _Linear.apply
