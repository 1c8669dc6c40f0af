"""One fit on several processes, as ``torchrun`` starts them: each takes a part of every batch."""

from __future__ import annotations

import atexit
import importlib
import os
from typing import TYPE_CHECKING

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


def rank() -> int:
    """The place of this process among those that ``torchrun`` started; 0 for a process on its own.

    Examples
    --------
    >>> rank()
    0
    """
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes fit one model together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> None:
    """Meet the other processes, once."""
    if world() == 1 or distributed.is_initialized():
        return
    # torch's optimisers import this on their first step. Imported after the group was made, it
    # keeps the group and its threads alive past their end; a thread that then waits for Python as
    # the interpreter goes aborts the process, rarely, after all its work was done.
    importlib.import_module("torch._dynamo")
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    atexit.register(leave)


def leave() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def agreed(*tensors: Tensor) -> None:
    """Overwrite the tensors with those of process 0."""
    if world() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def leading_says(answer: bool) -> bool:
    """What process 0 answers."""
    flag = torch.tensor([answer])
    agreed(flag)
    return bool(flag)


def added(tensor: Tensor) -> Tensor:
    """The sum over all processes."""
    if world() > 1:
        distributed.all_reduce(tensor)
    return tensor


def average_gradients(parameters: Iterable[nn.Parameter], rows: int) -> None:
    """Gradients of the mean over the rows of all processes, from those over ``rows`` of each.

    One message for all parameters. A wrapper such as DistributedDataParallel would have to know
    which phase moves which parameters; this asks the optimiser.
    """
    if world() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    parts = [g.reshape(-1) for g in grads]
    message = torch.cat([*parts, parts[0].new_ones(1)]) * rows
    distributed.all_reduce(message)
    mean = message[:-1] / message[-1]
    sizes = [g.numel() for g in grads]
    averaged = zip(torch.split(mean, sizes), grads, strict=True)
    torch._foreach_copy_(grads, [part.view_as(g) for part, g in averaged])
