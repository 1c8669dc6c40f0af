"""Torch leaves that know nothing of genes: stacks, quantisers, likelihoods, divergences."""

from __future__ import annotations

from sigilla.nn._divergences import kl_standard_normal
from sigilla.nn._likelihoods import gaussian_nll
from sigilla.nn._quantisers import squared_distances, straight_through
from sigilla.nn._stacks import Scale, Standardise, mlp

__all__ = [
    "Scale",
    "Standardise",
    "gaussian_nll",
    "kl_standard_normal",
    "mlp",
    "squared_distances",
    "straight_through",
]
