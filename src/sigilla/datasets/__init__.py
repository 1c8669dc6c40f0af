"""Data sets as data: manifests, files that are fetched and verified, and simulators."""

from __future__ import annotations

from sigilla.datasets._available import available
from sigilla.datasets._fetch import fetch
from sigilla.datasets._lincs import (
    l1000_plate,
    landmarks,
    repurposing_hub,
    svqvae_lincs_pretrained,
)
from sigilla.datasets._load import load, mnist
from sigilla.datasets._release import LincsRelease, simulate_lincs_release
from sigilla.datasets._simulate import simulate_lincs
from sigilla.datasets._simulate_clusters import simulate_gaussian_nuisance, simulate_rare_weak

__all__ = [
    "LincsRelease",
    "available",
    "fetch",
    "l1000_plate",
    "landmarks",
    "load",
    "mnist",
    "repurposing_hub",
    "simulate_gaussian_nuisance",
    "simulate_lincs",
    "simulate_lincs_release",
    "simulate_rare_weak",
    "svqvae_lincs_pretrained",
]
