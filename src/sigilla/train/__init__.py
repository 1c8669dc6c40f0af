"""The only training loop, its history and its checkpoints."""

from __future__ import annotations

from sigilla.train._data import Rows, sample_rows
from sigilla.train._device import resolve_device
from sigilla.train._fit import TrainingError, fit
from sigilla.train._processes import rank, world
from sigilla.train._split import holdout

__all__ = [
    "Rows",
    "TrainingError",
    "fit",
    "holdout",
    "rank",
    "resolve_device",
    "sample_rows",
    "world",
]
