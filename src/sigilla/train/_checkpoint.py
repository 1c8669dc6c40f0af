"""A fit interrupted between epochs goes on exactly where it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from sigilla.errors import DataError, FileError
from sigilla.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def flatten(tree: Any, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of nested dicts by their dotted path."""
    if isinstance(tree, torch.Tensor):
        return {prefix: tree.detach().contiguous().cpu()}
    return {k: v for key in tree for k, v in flatten(tree[key], f"{prefix}/{key}").items()}


def unflatten(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Inverse of :func:`flatten`."""
    tree: dict[str, Any] = {}
    for path, tensor in tensors.items():
        *parents, leaf = path.strip("/").split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = tensor
    return tree


def write(path: Path, tensors: dict[str, Any], notes: dict[str, Any]) -> None:
    """Beside the target first, then renamed: a kill mid-write leaves the last good one."""
    from safetensors.torch import save

    # Two entries of a state may be one storage (best = current); safetensors wants them apart.
    flat = {k: v.clone() for k, v in flatten(tensors).items()}
    with replacing(path, argument="checkpoint") as part:
        part.write_bytes(save(flat, {"sigilla": json.dumps(notes)}))


def read(path: Path, fingerprint: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and notes; refused where they belong to another fit."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {})["sigilla"])
            state = unflatten({k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError) as error:
        raise FileError(f"checkpoint={str(path)!r} is damaged; delete it to start anew") from error
    theirs = notes["fingerprint"]
    differing = [k for k in fingerprint if theirs.get(k) != fingerprint[k]]
    if differing:
        raise DataError(
            f"checkpoint={str(path)!r} belongs to a fit with other "
            + ", ".join(f"{k} ({theirs.get(k)!r}, now {fingerprint[k]!r})" for k in differing)
            + "; delete it or name another file"
        )
    return state, notes
