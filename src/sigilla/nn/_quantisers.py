from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def squared_distances(z: Tensor, codes: Tensor) -> Tensor:
    """Squared Euclidean distance of every row of ``z`` (n x d) to every code (K x d): n x K.

    One matrix product instead of n x K x d differences; rounding below zero is cut off.
    """
    cross = torch.addmm(codes.square().sum(dim=1), z, codes.T, beta=1, alpha=-2)
    return (cross + z.square().sum(dim=1, keepdim=True)).clamp_min(0)


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """``quantised`` forward, the gradient of ``z`` backward (van den Oord 2017, section 3.2)."""
    return z + (quantised - z).detach()
