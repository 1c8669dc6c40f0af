"""Metrics: pure functions of arrays."""

from __future__ import annotations

from sigilla.metrics._calibration import Reliability, calibration_error, reliability
from sigilla.metrics._clustering import clustering_error
from sigilla.metrics._connectivity import (
    connectivity_tau,
    normalized_connectivity,
    summarize_connectivity,
    weighted_connectivity,
)
from sigilla.metrics._correlation import ClassCorrelation, class_correlation
from sigilla.metrics._enrichment import enrichment_score
from sigilla.metrics._signatures import signature_strength, transcriptional_activity

__all__ = [
    "ClassCorrelation",
    "Reliability",
    "calibration_error",
    "class_correlation",
    "clustering_error",
    "connectivity_tau",
    "enrichment_score",
    "normalized_connectivity",
    "reliability",
    "signature_strength",
    "summarize_connectivity",
    "transcriptional_activity",
    "weighted_connectivity",
]
