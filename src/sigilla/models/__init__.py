"""Torch models without AnnData: one file per method, each with its frozen Config.

``METHODS`` is the registry: verbs, command line, docs, tests and benchmarks read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigilla.errors import unknown_name
from sigilla.models._base import Batch, Embedding, Loss, Model, Phase, read_model_file
from sigilla.models._config import Config, param
from sigilla.models.svqvae import SVQVAE
from sigilla.models.vae import VAE
from sigilla.models.vqvae import VQVAE

if TYPE_CHECKING:
    from pathlib import Path

METHODS: dict[str, type[Model]] = {method.name: method for method in (VAE, VQVAE, SVQVAE)}


def method(name: str) -> type[Model]:
    """The method of that name.

    Parameters
    ----------
    name
        A key of ``METHODS``.

    Returns
    -------
    The subclass of :class:`Model`.

    Raises
    ------
    ValueError
        There is no such method; the message lists them.

    Examples
    --------
    >>> method("vae").title
    'VAE'
    """
    if name not in METHODS:
        raise ValueError(unknown_name("method", name, METHODS))
    return METHODS[name]


def load(path: str | Path) -> Model:
    """A model written by ``Model.save``.

    Parameters
    ----------
    path
        The safetensors file; nothing in it is executed.

    Returns
    -------
    The model, in evaluation mode.

    Raises
    ------
    FileError
        The file is not there or not whole.
    DataError
        It holds no model of sigilla's.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import sigilla as sg
    >>> model = sg.models.VAE(n_features=5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = model.save(pathlib.Path(folder) / "vae.safetensors")
    ...     sg.models.load(path).name
    'vae'
    """
    description, weights = read_model_file(path)
    return method(description["method"]).restore(description, weights)


__all__ = [
    "METHODS",
    "SVQVAE",
    "VAE",
    "VQVAE",
    "Batch",
    "Config",
    "Embedding",
    "Loss",
    "Model",
    "Phase",
    "load",
    "method",
    "param",
]
