"""Torch leaves that know nothing of genes: stacks, quantisers, likelihoods, divergences."""

from __future__ import annotations

from sigilla.nn._divergences import kl_standard_normal
from sigilla.nn._likelihoods import gaussian_nll, squared_error
from sigilla.nn._linear import Linear
from sigilla.nn._pca import principal_axes
from sigilla.nn._quantisers import (
    Pull,
    pulled,
    squared_distances,
    straight_through,
    straight_through_error,
)
from sigilla.nn._rows import row_blocks
from sigilla.nn._stacks import LinearPlus, Scale, Standardise, mlp
from sigilla.nn._tanh import Tanh

__all__ = [
    "Linear",
    "LinearPlus",
    "Pull",
    "Scale",
    "Standardise",
    "Tanh",
    "gaussian_nll",
    "kl_standard_normal",
    "mlp",
    "principal_axes",
    "pulled",
    "row_blocks",
    "squared_distances",
    "squared_error",
    "straight_through",
    "straight_through_error",
]
