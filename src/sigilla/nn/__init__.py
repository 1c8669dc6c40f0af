"""Torch leaves that know nothing of genes: stacks, quantisers, likelihoods, divergences."""

from __future__ import annotations

from sigilla.nn._divergences import kl_standard_normal
from sigilla.nn._likelihoods import gaussian_nll
from sigilla.nn._pca import principal_axes
from sigilla.nn._quantisers import squared_distances, straight_through
from sigilla.nn._stacks import LinearPlus, Scale, Standardise, mlp

__all__ = [
    "LinearPlus",
    "Scale",
    "Standardise",
    "gaussian_nll",
    "kl_standard_normal",
    "mlp",
    "principal_axes",
    "squared_distances",
    "straight_through",
]
