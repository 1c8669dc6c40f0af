"""The only door from AnnData to tensors: which matrix, which genes, which labels."""

from __future__ import annotations

from sigilla.batches._fitted import labels_as_fitted, read_as_fitted
from sigilla.batches._labels import Labels, read_labels
from sigilla.batches._matrix import Blocks, Observations, read_observations

__all__ = [
    "Blocks",
    "Labels",
    "Observations",
    "labels_as_fitted",
    "read_as_fitted",
    "read_labels",
    "read_observations",
]
