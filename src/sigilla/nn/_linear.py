from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.errors import listed
from sigilla.nn._precision import product_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Then = Literal["none", "tanh"]

# Multiplications from which the faster product makes up for being called from Python.
_MANY = 2**24


def _onednn() -> Any:
    """Its linear layer, out of the vocabulary of torch.compile, where processors have AVX."""
    has_avx = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    there = has_avx and torch.backends.mkldnn.is_available()
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None) if there else None


_by_onednn = _onednn()


class Linear(nn.Linear):
    """``torch.nn.Linear`` by :func:`linear`, and what comes ``then`` in the same pass."""

    then: Then = "none"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        then: Then = "none",
    ) -> None:
        if then not in get_args(Then):
            raise ValueError(f"then={then!r}; take one of {listed(get_args(Then))}")
        super().__init__(in_features, out_features, bias, device, dtype)
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.then)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.then == "none" else f", then={self.then}")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Tensor:
    """``x @ weight.T + bias``, or its tanh; on a processor, large ones of 32 bits are oneDNN's.

    torch leaves them to MKL, which takes 1.1 to 1.7 times as long on processors of AMD, and makes
    a tanh in a pass of its own, which takes a sixth of the time of a product.
    """
    if _is_for_onednn(x, weight, bias):
        return _linear(x, weight, bias, then)
    y = F.linear(x, weight, bias)
    return y.tanh() if then == "tanh" else y


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
        x, weight, bias, then = given
        needs = ctx.needs_input_grad
        y: Tensor = _by_onednn(x, weight, bias, then, [], "")
        curve = y if then == "tanh" else None
        ctx.save_for_backward(x if needs[1] else None, weight if needs[0] else None, curve)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, curve = ctx.saved_tensors
        (of_y,) = grads
        if curve is not None:
            of_y = torch.ops.aten.tanh_backward(of_y, curve)
        needs = ctx.needs_input_grad
        of_x = linear(of_y, weight.T) if needs[0] else None
        of_weight = _of_weight(of_y, x) if needs[1] else None
        return of_x, of_weight, of_y.sum(0) if needs[2] else None, None


def _of_weight(of_y: Tensor, x: Tensor) -> Tensor:
    # of_y has to be turned round first, which costs more than it gains where it is the larger.
    # torch does it faster than oneDNN, and into a view in half the time of contiguous().
    if of_y.shape[1] > 2 * x.shape[1]:
        return of_y.T @ x
    turned = of_y.new_empty(of_y.shape[::-1])
    turned.T.copy_(of_y)
    return linear(turned, x.T)


# torch leaves apply without types.
_linear: Callable[..., Tensor] = _Linear.apply
