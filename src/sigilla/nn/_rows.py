from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_BYTES = 256 * 2**20


def row_blocks(x: Tensor) -> tuple[Tensor, ...]:
    """Views of so many rows at a time that what is computed of one is small beside a large ``x``.

    Examples
    --------
    >>> import torch
    >>> [len(block) for block in row_blocks(torch.empty(100_000, 978))]
    [68618, 31382]
    """
    blocks: tuple[Tensor, ...] = x.split(max(1, _BLOCK_BYTES // (4 * max(x.shape[1], 1))))
    return blocks
