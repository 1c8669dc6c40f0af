"""The only training loop, its history and its checkpoints."""

from __future__ import annotations

from sigilla.train._device import resolve_device
from sigilla.train._fit import TrainingError, fit
from sigilla.train._split import holdout

__all__ = ["TrainingError", "fit", "holdout", "resolve_device"]
