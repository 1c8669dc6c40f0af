"""Stored results as data frames, and the fitted model itself."""

from __future__ import annotations

from sigilla.get._classification import calibration, classification, confusion
from sigilla.get._codes import class_summary, code_correlation, nearest_codes
from sigilla.get._correlation import code_correlation_stats
from sigilla.get._gene_sets import gene_sets
from sigilla.get._genes import prototypes, top_genes
from sigilla.get._nodes import signature_nodes
from sigilla.get._training import best_epoch, history, model
from sigilla.target import guard

__all__ = [
    "best_epoch",
    "calibration",
    "class_summary",
    "classification",
    "code_correlation",
    "code_correlation_stats",
    "confusion",
    "gene_sets",
    "history",
    "model",
    "nearest_codes",
    "prototypes",
    "signature_nodes",
    "top_genes",
]

guard(globals())
