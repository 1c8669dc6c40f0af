from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from sigilla.nn._linear import Linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Identity,  # the layer before makes it, in the pass of its product
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def mlp(sizes: Sequence[int], *, activation: str = "gelu", dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of the given sizes, an activation (and dropout) between but not after them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes[:-1]):
        hidden = Linear(n_in, n_out, then="tanh" if activation == "tanh" else "none")
        layers += [hidden, _ACTIVATIONS[activation]()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, Linear(sizes[-2], sizes[-1]))


class LinearPlus(nn.Module):
    """A linear map plus a one-hidden-layer network that starts at zero.

    The linear part can be given a closed-form start (``start``); training adds what is not linear.
    """

    def __init__(self, n_in: int, n_hidden: int, n_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = Linear(n_in, n_out)
        self.network = mlp([n_in, n_hidden, n_out], dropout=dropout)
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def start(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Set the linear part; where ``weight`` is smaller than the layer, the rest is zero."""
        self.linear.weight.zero_()[: weight.shape[0], : weight.shape[1]] = weight
        self.linear.bias.zero_()
        if bias is not None:
            self.linear.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x) + self.network(x)
        return out


class Scale(nn.Module):
    """Multiply by a constant: the published decoder's "tanh, then x10"."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Standardise(nn.Module):
    """(x - mean) / sd with moments taken from the training data and kept with the model.

    Constant features have no spread to divide by; they become zero instead of infinite.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("sd", torch.ones(n_features))

    @torch.no_grad()
    def fit(self, x: Tensor, *, each: bool = True) -> None:
        """Take mean and sd (ddof 0) per column of ``x``; one sd for all unless ``each``."""
        sd, mean = torch.std_mean(x, dim=0, correction=0)
        constant = sd <= 1e-6 * mean.abs().clamp_min(1e-6)
        if not each:
            sd = sd.square().mean().sqrt().expand_as(sd)
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(constant, torch.inf, sd))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sd

    def in_place(self, x: Tensor) -> Tensor:
        """``x`` itself, standardised: a large matrix is not there twice."""
        return x.sub_(self.mean).div_(self.sd)

    def inverse(self, x: Tensor) -> Tensor:
        """Back to the units of the data; constant features return to their mean."""
        return x * torch.where(torch.isinf(self.sd), 0, self.sd) + self.mean
