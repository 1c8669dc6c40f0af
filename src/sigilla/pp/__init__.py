"""Preprocessing: steps that mark, choose or summarise before a model is fitted."""

from __future__ import annotations

from sigilla.pp._influential import influential_features
from sigilla.pp._modz import modz
from sigilla.pp._robust_z import robust_z
from sigilla.pp._signature_quality import signature_quality
from sigilla.pp._single_cell import single_cell
from sigilla.pp._transformer import InfluentialFeatures
from sigilla.target import guard

__all__ = [
    "InfluentialFeatures",
    "influential_features",
    "modz",
    "robust_z",
    "signature_quality",
    "single_cell",
]

guard(globals())
