from __future__ import annotations

import os

import torch

from sigilla.train._processes import world

# Of the card's free memory, what the data may take: a start in closed form takes as much again, and
# once more where some have no label; the rest is for weights and activations.
_DATA_SHARE = 0.3
_CUDA = torch.device("cuda")
# Just below the 32 MiB up to which glibc learns from the blocks that it is given back.
_LARGE_BLOCK = 31 * 2**20


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """``"auto"`` is CUDA where there is one, else the CPU; anything else is taken at its word.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if str(device) == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        # Processes that torchrun started on one machine take a card each.
        return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if world() > 1 else _CUDA
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is not a torch device; take 'auto', 'cpu' or 'cuda'"
        ) from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but torch sees no CUDA device; take device='cpu'")
    return resolved


def fits_on(device: torch.device, n_bytes: int) -> bool:
    """Whether the data may stay on the device for the whole fit."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes < _DATA_SHARE * free


def keep_freed_memory() -> None:
    """Have the C library keep what one step frees for the next one.

    glibc gives memory back to the system where more of it is free than twice the largest block
    that it was ever given back (mallopt(3), M_TRIM_THRESHOLD). Gradients of a step would be
    mapped anew, page by page, in the next: about a tenth of an epoch. The block is never touched.
    For the rest of the process smaller blocks come from the heap, of whose end up to 62 MiB stay.
    """
    torch.empty(_LARGE_BLOCK, dtype=torch.uint8)
