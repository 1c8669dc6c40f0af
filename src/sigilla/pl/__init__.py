"""Plots of what is stored: nothing here trains, changes an AnnData or touches global settings."""

from __future__ import annotations

from sigilla.pl._calibration import calibration
from sigilla.pl._confusion import confusion
from sigilla.pl._gene_sets import gene_sets
from sigilla.pl._graph import code_graph
from sigilla.pl._heatmap import code_heatmap
from sigilla.pl._history import history
from sigilla.pl._influential import influential_features
from sigilla.pl._intervals import code_intervals
from sigilla.pl._nodes import signature_nodes
from sigilla.pl._prototypes import prototypes
from sigilla.pl._quality import class_quality
from sigilla.target import guard

__all__ = [
    "calibration",
    "class_quality",
    "code_graph",
    "code_heatmap",
    "code_intervals",
    "confusion",
    "gene_sets",
    "history",
    "influential_features",
    "prototypes",
    "signature_nodes",
]

guard(globals())
