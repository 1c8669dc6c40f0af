"""What autocast does to a product, and where it is to do nothing."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor


def in_full(x: Tensor) -> AbstractContextManager[Any]:
    """A block in which products are of the type of their operands."""
    return torch.autocast(x.device.type, enabled=False) if _has_autocast(x) else nullcontext()


def product_type(weight: Tensor) -> torch.dtype:
    """The type that a product with this weight has."""
    kind = weight.device.type
    on = _has_autocast(weight) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if on else weight.dtype


def _has_autocast(x: Tensor) -> bool:
    """The meta device has none, and torch refuses to be asked whether it is on."""
    return torch.amp.is_autocast_available(x.device.type)
