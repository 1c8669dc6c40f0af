from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor


def squared_distances(z: Tensor, codes: Tensor) -> Tensor:
    """Squared Euclidean distance of every row of ``z`` (n x d) to every code (K x d): n x K.

    One matrix product instead of n x K x d differences; rounding below zero is cut off. Always in
    32 bits: which code is nearest hangs on differences that half precision has not.
    """
    with _in_full(z):
        z, codes = z.float(), codes.float()
        cross = torch.addmm(codes.square().sum(dim=1), z, codes.T, beta=1, alpha=-2)
        return (cross + z.square().sum(dim=1, keepdim=True)).clamp_min(0)


def pull(
    z: Tensor, codes: Tensor, chosen: Tensor, squares: Tensor, of_codes: Tensor, of_z: Tensor
) -> tuple[Tensor, Tensor]:
    """``sum_i weight_i |z_i - codes[chosen_i]|^2`` twice, each with its own weights (n).

    The first has a gradient for the codes only, the second for ``z`` only. ``squares`` are those
    squared distances (n), which :func:`squared_distances` has found for all codes at once; neither
    they nor the differences are computed twice.
    """
    return _pull(z, codes, chosen, squares, of_codes, of_z)


class _Pull(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        codes: Tensor,
        chosen: Tensor,
        squares: Tensor,
        of_codes: Tensor,
        of_z: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z, codes, chosen, of_codes, of_z)
        return squares.dot(of_codes), squares.dot(of_z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        z, codes, chosen, of_codes, of_z = ctx.saved_tensors
        apart = F.embedding(chosen, codes).sub_(z)
        weighted = apart * (2 * grads[0] * of_codes)[:, None]
        for_codes = torch.zeros_like(codes).index_add_(0, chosen, weighted)
        return apart.mul_((-2 * grads[1] * of_z)[:, None]), for_codes, None, None, None, None


# torch leaves apply without types.
_pull: Callable[..., tuple[Tensor, Tensor]] = _Pull.apply


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """``quantised`` forward, the gradient of ``z`` backward (van den Oord 2017, section 3.2)."""
    return z + (quantised - z).detach()


def straight_through_table(
    z: Tensor, table: Tensor, chosen: Tensor, slope: Tensor, weight: Tensor
) -> Tensor:
    """``act(F.linear(straight_through(z, codes[chosen]), weight, bias))`` in fewer passes.

    Rows of one code have one output: ``table`` is that of each code, and ``slope`` the derivative
    of ``act`` there. The gradients of the rows of a code are added up before they meet its row of
    the table; only the gradient of ``z`` needs a product over all rows.
    """
    return _through(z, table, chosen, slope, weight)


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, table: Tensor, chosen: Tensor, slope: Tensor, weight: Tensor
    ) -> Tensor:
        ctx.save_for_backward(chosen, slope, weight.detach())
        ctx.dtype = z.dtype
        return F.embedding(chosen, table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        chosen, slope, weight = ctx.saved_tensors
        of_table = torch.zeros_like(slope).index_add_(0, chosen, grads[0])
        of_act = F.embedding(chosen, slope).mul_(grads[0]).to(weight.dtype)
        return (of_act @ weight).to(ctx.dtype), of_table, None, None, None


_through: Callable[..., Tensor] = _Through.apply


def in_autocast(weight: Tensor) -> Tensor:
    """The weight in the type that autocast would give it: once, where several products need it."""
    kind = weight.device.type
    if _has_autocast(weight) and torch.is_autocast_enabled(kind):
        return weight.to(torch.get_autocast_dtype(kind))
    return weight


def _in_full(z: Tensor) -> AbstractContextManager[Any]:
    return torch.autocast(z.device.type, enabled=False) if _has_autocast(z) else nullcontext()


def _has_autocast(z: Tensor) -> bool:
    """The meta device has none, and torch refuses to be asked whether it is on."""
    return torch.amp.is_autocast_available(z.device.type)
