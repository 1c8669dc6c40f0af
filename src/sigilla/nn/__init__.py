"""Torch leaves that know nothing of genes: stacks, quantisers, likelihoods, divergences."""

from __future__ import annotations

from sigilla.nn._divergences import kl_standard_normal
from sigilla.nn._likelihoods import gaussian_nll, squared_error
from sigilla.nn._pca import principal_axes
from sigilla.nn._quantisers import (
    in_autocast,
    pull,
    squared_distances,
    straight_through,
    straight_through_table,
)
from sigilla.nn._rows import row_blocks
from sigilla.nn._stacks import LinearPlus, ScaledTanh, Standardise, Tanh, mlp

__all__ = [
    "LinearPlus",
    "ScaledTanh",
    "Standardise",
    "Tanh",
    "gaussian_nll",
    "in_autocast",
    "kl_standard_normal",
    "mlp",
    "principal_axes",
    "pull",
    "row_blocks",
    "squared_distances",
    "squared_error",
    "straight_through",
    "straight_through_table",
]
