"""Tensors of modules that old torch pickled whole, read without importing what a file names.

Such a file is four pickles (magic number, protocol, system, module), the list of its storages,
and the storages' bytes. ``torch.load(weights_only=True)`` refuses it whatever it is allowed: the
module's class travels as a persistent id, with its source code. Here every name in the pickle is
looked up in one short table of inert stand-ins; a name outside the table stops the reading, so
nothing that a file could name is ever imported or called.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sigilla.errors import FileError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
# What a damaged pickle raises, as the pickle documentation leaves the list open.
_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    struct.error,
)


class _Module:
    """A module reduced to its attributes."""

    def __init__(self) -> None:
        self.parameters: dict[str, _Tensor | None] = {}
        self.children: dict[str, _Module | None] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.parameters = {**state["_parameters"], **state["_buffers"]}
        self.children = dict(state["_modules"])

    def named_tensors(self, prefix: str = "") -> dict[str, _Tensor]:
        named = {f"{prefix}{k}": v for k, v in self.parameters.items() if v is not None}
        for name, child in self.children.items():
            if child is not None:
                named |= child.named_tensors(f"{prefix}{name}.")
        return named


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(tensor: _Tensor, *_requires_grad: object) -> _Tensor:
    return tensor


def _nothing() -> None:
    """In place of the function table that torch 0.4 kept in each module."""


_STAND_INS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch.nn.modules.container.Sequential": _Module,
    "torch.nn.modules.linear.Linear": _Module,
    "torch.nn.modules.sparse.Embedding": _Module,
    "torch.nn.modules.activation.Tanh": _Module,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.nn.backends.thnn._get_thnn_function_backend": _nothing,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    # What later versions of torch write in the same format.
    "__builtin__.set": set,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.FloatStorage": "<f4",
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[f"{module}.{name}"]
        except KeyError:
            msg = f"it names {module}.{name}, which no published module needs"
            raise pickle.UnpicklingError(msg) from None

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        if kind == "module":  # (class, source file, source): the class is all that matters
            return rest[0]
        dtype, key, _device, size, view = rest
        if kind != "storage" or view is not None:
            msg = f"it holds a persistent object of kind {kind!r}, or a view of one"
            raise pickle.UnpicklingError(msg)
        return _Storage(key, dtype, size)


def read_legacy_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Named tensors of a module that torch 0.4 pickled whole (``torch.save(module, path)``).

    Parameters
    ----------
    path
        A file with ``Linear``, ``Embedding`` and ``Tanh`` modules, alone or in a ``Sequential``.

    Returns
    -------
    Parameters and buffers under the names ``state_dict`` would give them (``0.weight``, ...).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FileError
        The file is not of this format, is truncated, or names anything beyond those modules.
        Nothing named in a file is imported or called.
    """
    path = Path(path)
    stream = io.BytesIO(path.read_bytes())
    try:
        return _read(stream)
    except _DAMAGE as error:
        raise FileError(
            f"path={str(path)!r} is not a readable torch 0.4 module file: "
            f"{error or type(error).__name__}. It may be truncated or another format; "
            "fetch it again, and do not load it by other means if you do not trust its source"
        ) from error


def _read(stream: io.BytesIO) -> dict[str, torch.Tensor]:
    def load() -> Any:
        # The files were written by Python 2, whose strings are bytes.
        return _Reader(stream, encoding="latin1").load()

    if load() != _MAGIC or load() != _PROTOCOL:
        raise ValueError("the magic number or the protocol differs")
    if not load()["little_endian"]:
        raise ValueError("the numbers are big-endian")
    module = load()
    if not isinstance(module, _Module):
        raise TypeError(f"it holds a {type(module).__name__}, not a module")
    named = module.named_tensors()
    dtypes = {t.storage.key: np.dtype(t.storage.dtype) for t in named.values()}
    arrays = {key: _storage(stream, dtypes[key]) for key in load()}
    return {name: _tensor(t, arrays[t.storage.key]) for name, t in named.items()}


def _storage(stream: io.BytesIO, dtype: np.dtype[Any]) -> np.ndarray:
    (size,) = struct.unpack("<q", stream.read(8))
    raw = stream.read(size * dtype.itemsize) if size >= 0 else b""
    if len(raw) != size * dtype.itemsize:
        raise ValueError(f"it ends within a storage of {size} numbers")
    return np.frombuffer(raw, dtype)


def _tensor(tensor: _Tensor, storage: np.ndarray) -> torch.Tensor:
    shape = tensor.shape
    contiguous = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    values = storage[tensor.offset : tensor.offset + math.prod(shape)]
    if tensor.stride != contiguous or values.size != math.prod(shape):
        raise ValueError(f"a tensor of shape {shape} does not lie whole in its storage")
    return torch.from_numpy(values.reshape(shape).copy())
