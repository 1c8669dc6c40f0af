"""What a model is to the trainer, to the verbs and to a file."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import nn

from sigilla.errors import DataError, FileError
from sigilla.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sigilla.models._config import Config as BaseConfig


_FORMAT = "sigilla-model-1"
# Buffers of this name are no part of the network: what left-out observations looked like.
HELD_OUT = "held_out_"


@dataclass(frozen=True, slots=True)
class Batch:
    """Observations of one step. ``label`` is -1 where there is none."""

    x: Tensor
    label: Tensor


@dataclass(frozen=True)
class Loss:
    """Named, already weighted terms whose sum is optimised, and metrics that are only watched."""

    terms: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def total(self) -> Tensor:
        """The objective."""
        return reduce(torch.add, self.terms.values())


@dataclass(frozen=True, slots=True)
class Phase:
    """One optimiser and the parameters it moves; a discriminator is a second phase."""

    name: str
    parameters: Sequence[nn.Parameter] | Sequence[dict[str, Any]]
    amsgrad: bool = False


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a model says of observations; a field a method has no use for stays ``None``."""

    latent: Tensor
    distances: Tensor | None = None
    nearest: Tensor | None = None
    codes: Tensor | None = None
    confidence: Tensor | None = None


class Model(nn.Module, ABC):
    """A method: one subclass in one file, with its Config.

    A subclass sets the class variables, builds its layers in ``build``, and writes ``loss`` and
    ``embed``. ``prepare`` is where it looks at the training data once, before the first step.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    Config: ClassVar[type[BaseConfig]]
    config: BaseConfig
    uses_labels: ClassVar[bool] = False
    has_codes: ClassVar[bool] = False
    correlation_space: ClassVar[Literal["latent", "genes"]] = "genes"
    monitor: ClassVar[tuple[str, str]] = ("loss", "min")

    def __init__(
        self,
        config: BaseConfig | None = None,
        *,
        n_features: int,
        classes: Sequence[str] = (),
        var_names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config if config is not None else self.Config()
        self.classes = tuple(str(c) for c in classes)
        names = range(n_features) if var_names is None else var_names
        self.var_names = tuple(str(v) for v in names)
        if len(self.var_names) != n_features:
            raise ValueError(f"{len(self.var_names)} var_names for n_features={n_features}")
        # Layers draw their start from torch's global stream: fork it, so that the caller's own
        # stream is untouched and the start depends on the seed alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.build(n_features, len(self.classes))

    @abstractmethod
    def build(self, n_features: int, n_classes: int) -> None:
        """Create the layers."""

    @abstractmethod
    def loss(self, batch: Batch, *, phase: str) -> Loss:
        """The objective on one batch; no host synchronisation, no Python work per class.

        Noise comes from torch's global stream, which the trainer forks and seeds.
        """

    @abstractmethod
    def embed(self, x: Tensor) -> Embedding:
        """Latent and codes of observations (n x genes), deterministically."""

    def prepare(self, x: Tensor, label: Tensor) -> None:
        """Look at the training data once: moments, initial codes. ``x`` may be overwritten."""

    def start_epoch(self, epoch: int) -> None:
        """Called with 0, 1, ... before each pass: schedules live here."""

    def phases(self) -> tuple[Phase, ...]:
        """The optimisers that take a step on each batch, in this order."""
        return (Phase("main", list(self.parameters())),)

    def codebook(self) -> Tensor | None:
        """The codes, K x d, of a method that has them."""
        return None

    def decode(self, latent: Tensor) -> Tensor:
        """Expression (n x genes, in the units of the data) of latent points."""
        raise TypeError(f"{self.title} has no decoder for {tuple(latent.shape)}")

    def prototypes(self) -> Tensor | None:
        """The decoded codes, K x genes."""
        codes = self.codebook()
        return None if codes is None else self.decode(codes)

    def typical(self) -> Tensor:
        """A value for each gene that says nothing: stands in for genes a query lacks.

        The training mean where the model standardises, else 0, the centre of a z-score.
        """
        standardise = getattr(self, "standardise", None)
        if standardise is None:
            return torch.zeros(len(self.var_names))
        mean: Tensor = standardise.mean
        return mean

    def held_out(self) -> dict[str, np.ndarray]:
        """What observations looked like that refits had not seen; empty without calibration."""
        return {
            name.removeprefix(HELD_OUT): buffer.cpu().numpy()
            for name, buffer in self.named_buffers(recurse=False)
            if name.startswith(HELD_OUT)
        }

    # -- state ----------------------------------------------------------------------------------
    def state(self) -> dict[str, np.ndarray]:
        """Weights and buffers as arrays on the host."""
        return {k: v.detach().cpu().numpy() for k, v in self.state_dict().items()}

    def describe(self) -> dict[str, Any]:
        """Everything beside the weights that ``restore`` needs; plain JSON types."""
        return {
            "format": _FORMAT,
            "method": self.name,
            "config": dataclasses.asdict(self.config),
            "classes": list(self.classes),
            "var_names": list(self.var_names),
        }

    @classmethod
    def restore(cls, description: Mapping[str, Any], weights: Mapping[str, Any]) -> Self:
        """The model that ``describe`` and ``state`` came from."""
        var_names = description["var_names"]
        model = cls(
            cls.Config(**description["config"]),
            n_features=len(var_names),
            classes=description["classes"],
            var_names=var_names,
        )
        tensors = {k: torch.as_tensor(np.asarray(v)) for k, v in weights.items()}
        for name in filter(lambda name: name.startswith(HELD_OUT), tensors):
            model.register_buffer(name, torch.empty_like(tensors[name]))
        model.load_state_dict(tensors)
        return model.eval()

    def save(self, path: str | Path) -> Path:
        """Write weights and description to one safetensors file, atomically.

        Raises
        ------
        FileError
            The path cannot be written; a file that was there before is untouched.
        """
        from safetensors.numpy import save

        content = save(self.state(), {"sigilla": json.dumps(self.describe())})
        with replacing(path) as part:
            part.write_bytes(content)
        return Path(path)


def read_model_file(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Description and weights of a file that ``Model.save`` wrote; nothing in it is executed."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.exists():
        raise FileError(f"path={str(path)!r} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise FileError(f"path={str(path)!r} is not a whole safetensors file: {error}") from error
    description = json.loads(header.get("sigilla", "{}"))
    if description.get("format") != _FORMAT:
        raise DataError(f"path={str(path)!r} holds no sigilla model ({_FORMAT})")
    return description, weights
