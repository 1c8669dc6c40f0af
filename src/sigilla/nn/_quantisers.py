from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.nn._likelihoods import mean_square
from sigilla.nn._linear import linear
from sigilla.nn._precision import in_full, product_type
from sigilla.nn._tanh import tanh_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def squared_distances(z: Tensor, codes: Tensor) -> Tensor:
    """Squared Euclidean distance of every row of ``z`` (n x d) to every code (K x d): n x K.

    One matrix product instead of n x K x d differences; rounding below zero is cut off. Always in
    32 bits: which code is nearest hangs on differences that half precision has not.
    """
    with in_full(z):
        z, codes = z.float(), codes.float()
        of_z, of_codes = (torch.linalg.vector_norm(v, dim=1).square() for v in (z, codes))
        cross = torch.addmm(of_codes, z, codes.T, beta=1, alpha=-2)
        squares: Tensor = cross + of_z[:, None]
        return squares.clamp_min(0)


class Pull(NamedTuple):
    """Rows drawn to a code each (or pushed, by negative weights); all of one value per row."""

    chosen: Tensor
    squares: Tensor  # squared distances to these codes: squared_distances has them for all
    of_codes: Tensor  # weights of what the codes feel
    of_z: Tensor  # weights of what the rows feel


def pulled(z: Tensor, codes: Tensor, *pulls: Pull) -> list[tuple[Tensor, Tensor]]:
    """For each pull ``sum_i weight_i |z_i - codes[chosen_i]|^2`` twice, with either weights.

    The first of the two has a gradient for the codes only, the second for ``z`` only. Neither the
    distances nor the differences are computed twice.
    """
    sums = _pulled(z, codes, *itertools.chain.from_iterable(pulls))
    return list(zip(sums[::2], sums[1::2], strict=True))


class _Pulled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, codes: Tensor, *pulls: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(z, codes, *pulls)
        return tuple(
            pull.squares.dot(weight)
            for pull in _of_four(pulls)
            for weight in (pull.of_codes, pull.of_z)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        z, codes, *flat = ctx.saved_tensors
        z, pulls = z.to(codes.dtype), _of_four(flat)
        chosen = torch.stack([pull.chosen for pull in pulls])
        of_codes = torch.stack([2 * g * p.of_codes for g, p in zip(grads[::2], pulls, strict=True)])
        of_z = torch.stack([2 * g * p.of_z for g, p in zip(grads[1::2], pulls, strict=True)])
        # Weighted differences add up to a difference of weighted sums, and those are one pass.
        own = of_z.sum(0)[:, None]
        for_z = _weighted_sums(codes, chosen.T, -of_z.T).addcmul_(z, own)
        by_code, order = chosen.flatten().sort()
        first = torch.searchsorted(by_code, torch.arange(len(codes), device=z.device))
        weights = of_codes.flatten()
        own = torch.zeros_like(codes[:, :1]).index_add_(0, chosen.flatten(), weights[:, None])
        for_codes = _weighted_sums(z, order % len(z), -weights[order], first).addcmul_(codes, own)
        return for_z, for_codes, *[None] * len(flat)


def _weighted_sums(
    rows: Tensor, chosen: Tensor, weights: Tensor, first: Tensor | None = None
) -> Tensor:
    """One sum of rows for each row of ``chosen``, or for each stretch that begins at ``first``."""
    weights = weights.to(rows.dtype)
    return F.embedding_bag(chosen, rows, first, mode="sum", per_sample_weights=weights)


def _of_four(flat: Sequence[Tensor]) -> list[Pull]:
    return [Pull(*flat[i : i + 4]) for i in range(0, len(flat), 4)]


# torch leaves apply without types.
_pulled: Callable[..., tuple[Tensor, ...]] = _Pulled.apply


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """``quantised`` forward, the gradient of ``z`` backward (van den Oord 2017, section 3.2)."""
    return z + (quantised - z).detach()


def straight_through_error(
    z: Tensor,
    codes: Tensor,
    chosen: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: float,
) -> Tensor:
    """Squared error of ``x`` and ``scale * tanh(linear(straight_through(z, codes[chosen])))``.

    Rows of one code have one output, so each code is decoded once, and the gradients of its rows
    are added up before they meet it; only the gradient of ``z`` needs a product over all rows.
    Codes and ``x`` get none.
    """
    return _straight_through_error(z, codes, chosen, x, weight, bias, scale)


class _StraightThroughError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        z, codes, chosen, x, weight, bias, scale = given
        cast = weight.to(product_type(weight))  # once, for the products here and in backward
        codes = codes.to(cast.dtype)  # once, also for the weight's gradient
        curve = tanh_values(F.linear(codes, cast, bias))
        apart = F.embedding(chosen, scale * curve).sub_(x)
        ctx.save_for_backward(codes, chosen, cast, curve, apart)
        ctx.scale, ctx.dtype = scale, z.dtype
        return mean_square(apart)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        codes, chosen, cast, curve, apart = ctx.saved_tensors
        apart.mul_((2 * ctx.scale / apart.shape[1] * grads[0])[:, None])
        through = torch.ops.aten.tanh_backward  # one pass
        of_rows = through(apart, F.embedding(chosen, curve)).to(cast.dtype)
        of_codes = through(torch.zeros_like(curve).index_add_(0, chosen, apart), curve)
        of_weight = (of_codes.to(codes.dtype).T @ codes).to(of_codes.dtype)
        of_z = linear(of_rows, cast.T).to(ctx.dtype)
        return of_z, None, None, None, of_weight, of_codes.sum(0), None


_straight_through_error: Callable[..., Tensor] = _StraightThroughError.apply
