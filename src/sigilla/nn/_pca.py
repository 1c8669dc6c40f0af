from __future__ import annotations

import torch
from torch import Tensor

# The principal axes of more rows than this are not better, only later.
_ROWS = 20_000
# Up to this many rows or columns the whole decomposition is quick, and the same in every run.
_EXACT = 512


@torch.no_grad()
def principal_axes(x: Tensor, n_axes: int) -> tuple[Tensor, Tensor]:
    """Axes (features x d) and the variance along each of centred data, largest first.

    d is ``n_axes``, or fewer where the data have fewer; of very many rows a random part decides.
    The largest loading of an axis is positive, so that two starts give the same axes.
    """
    # In their own order: rows that all take part are added up alike in every start.
    x = x[torch.randperm(len(x), device=x.device)[:_ROWS].sort().values]
    n_axes = min(n_axes, *x.shape)
    if min(x.shape) <= _EXACT:
        _, singular, rows = torch.linalg.svd(x, full_matrices=False)
        axes = rows.T
    else:  # axes of nearly one variance need room and passes to come apart
        _, singular, axes = torch.svd_lowrank(x, q=min(n_axes + 32, *x.shape), niter=6)
    axes = axes[:, :n_axes]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return axes * largest.sign(), singular[:n_axes].square() / len(x)
