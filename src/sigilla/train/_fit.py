"""One loop for every model."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sigilla.seed import generator
from sigilla.train import _checkpoint, _processes
from sigilla.train._data import InMemory, Streamed, sample_rows
from sigilla.train._device import keep_freed_memory, resolve_device
from sigilla.train._means import Means
from sigilla.train._progress import bar
from sigilla.train._split import holdout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sigilla.models import Batch, Loss, Model
    from sigilla.train._data import Rows

_CHECKPOINT_SECONDS = 30.0


class TrainingError(ArithmeticError):
    """A loss term left the real numbers."""


def fit(
    model: Model,
    x: NDArray[np.float32] | Tensor | Rows,
    label: NDArray[np.integer] | Tensor | None = None,
    *,
    random_state: int = 0,
    device: str | torch.device = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Train ``model`` in place and return its history, one value per epoch and quantity.

    A share of the observations is held out (``config.validation_fraction``); the epoch with the
    best value of ``model.monitor`` on them is the one whose weights remain. Data stay on the
    device for the whole fit where they fit; the host waits for the device for the means of an
    epoch, not for its steps.

    Where ``torchrun`` started several processes, they fit one model together: each takes a part
    of every batch, gradients are averaged, and all end with the same model. The result is that of
    one process but for noise (dropout, sampled latents) and batch norm, which each process has of
    its own part; a mean over labelled observations is weighted by all.

    Parameters
    ----------
    model
        The model; its config says how long and how fast.
    x
        Observations x features: an array, or an object that reads rows from disk (see
        :class:`sigilla.train.Rows`). Then rows are shuffled in blocks, the start in closed form
        looks at :func:`sigilla.train.sample_rows` of them, drawn by class, and at most as many
        are held out.
    label
        Class of each observation as 0..K-1, -1 where unknown.
    random_state
        Seeds the split, the order of observations and all noise; torch's global stream is forked.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    progress
        Show a bar; ``None`` on a terminal or in a notebook only.
    checkpoint
        A file that is written now and then; where it exists, the fit goes on from it, and it is
        removed when the fit ends. The result equals that of an uninterrupted fit.

    Returns
    -------
    Epoch-wise values: ``loss``, every term and metric, the same with ``val_`` in front where
    observations are held out, and ``seconds`` since the start.

    Raises
    ------
    TrainingError
        A term became NaN or infinite; the message names it, its epoch and what to try.
    """
    where = resolve_device(device)
    _processes.join(where)
    keep_freed_memory()
    if isinstance(x, list | np.ndarray | torch.Tensor):
        x = torch.as_tensor(x, dtype=torch.float32)
    label = torch.full((x.shape[0],), -1) if label is None else torch.as_tensor(label)
    cuda = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(random_state)
        run = _Run(model, x, label.long(), random_state, where)
        return run.go(progress, None if checkpoint is None else Path(checkpoint))


class _Run:
    """State of one fit: everything a checkpoint must hold, and nothing else."""

    def __init__(
        self,
        model: Model,
        x: Tensor | Rows,
        label: Tensor,
        random_state: int,
        device: torch.device,
    ) -> None:
        config = model.config
        self.model = model.to(device)
        self.device = device
        self.random_state = random_state
        fraction = config.validation_fraction
        if not isinstance(x, torch.Tensor):
            fraction = min(fraction, sample_rows(*x.shape) / x.shape[0])
        held = np.zeros(x.shape[0], dtype=bool)
        if fraction:
            held = holdout(label.numpy(), fraction, generator(random_state))
        self.data = (
            InMemory(x, label, held, device)
            if isinstance(x, torch.Tensor)
            else Streamed(x, label, held, device)
        )
        self.fingerprint = {
            "method": model.name,
            "config": dataclasses.asdict(config),
            "shape": list(x.shape),
            "random_state": random_state,
            "data": _digest(self.data.column_sums, label),
        }
        self.epoch = 0
        self.waited = 0
        self.best = math.inf
        self.best_weights: dict[str, Tensor] = {}
        self.history: dict[str, list[float]] = {}

    def go(self, progress: bool | None, checkpoint: Path | None) -> dict[str, NDArray[np.float64]]:
        model, config = self.model, self.model.config
        resuming = checkpoint is not None and _processes.leading_says(checkpoint.exists())
        if not resuming:
            model.prepare(*self.data.start())
        self.diverge()
        self.optimisers = {
            phase.name: torch.optim.AdamW(
                phase.parameters,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                amsgrad=phase.amsgrad,
                fused=self.device.type in {"cpu", "cuda"},
            )
            for phase in model.phases()
        }
        if checkpoint is not None and resuming:
            self.resume(checkpoint)
        elif self.data.n_validation:
            # A start in closed form may be the best that held-out observations see.
            self.judge({f"val_{name}": value for name, value in self.validate().items()})
        before = self.history["seconds"][-1] if self.history else 0.0
        start = saved = time.perf_counter()
        if _processes.rank():
            progress = False
        with bar(config.max_epochs, self.epoch, model.title, progress) as shown:
            while self.epoch < config.max_epochs and self.waited < config.patience:
                values = self.one_epoch()
                values["seconds"] = before + time.perf_counter() - start
                for name, value in values.items():
                    self.history.setdefault(name, []).append(value)
                self.judge(values)
                self.epoch += 1
                shown.update(values)
                if checkpoint is not None and time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                    self.save(checkpoint)
                    saved = time.perf_counter()
        if self.best_weights:
            model.load_state_dict(self.best_weights)
        model.eval()
        _processes.agreed(*model.state_dict().values())
        if checkpoint is not None and _processes.rank() == 0:
            checkpoint.unlink(missing_ok=True)
        return {name: np.array(values) for name, values in self.history.items()}

    def diverge(self) -> None:
        """One start for all processes, but noise of its own for each."""
        _processes.agreed(*self.model.state_dict().values())
        if _processes.rank():
            torch.manual_seed(self.random_state + 1_000_003 * _processes.rank() + self.epoch)

    def one_epoch(self) -> dict[str, float]:
        self.model.start_epoch(self.epoch)
        self.model.train()
        seen = Means()
        for batch in self.data.epoch(self.model.config.batch_size):
            for phase, optimiser in self.optimisers.items():
                loss = self.loss(batch, phase)
                optimiser.zero_grad(set_to_none=True)
                loss.total.backward()
                _processes.average_gradients(_moved_by(optimiser), len(batch.x))
                optimiser.step()
                seen.add(loss, len(batch.x))
        values = self.guard(seen)
        if self.data.n_validation:
            values |= {f"val_{name}": value for name, value in self.validate().items()}
        return values

    def loss(self, batch: Batch, phase: str) -> Loss:
        half = self.model.config.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            return self.model.loss(batch, phase=phase)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        self.model.eval()
        seen = Means()
        for batch in self.data.held_out():
            for phase in self.optimisers:
                seen.add(self.loss(batch, phase), len(batch.x))
        return self.guard(seen)

    def guard(self, seen: Means) -> dict[str, float]:
        """The epoch's means, or an error that names the term that went wrong first."""
        values = seen.values()
        if all(map(math.isfinite, values.values())):
            return values
        name = seen.first_broken()
        raise TrainingError(
            f"{self.model.title}: {name!r} became {values[name]} in epoch {self.epoch}; lower "
            f"learning_rate={self.model.config.learning_rate:g}, or scale the data if their "
            "values are very large"
        )

    def judge(self, values: dict[str, float]) -> None:
        """Keep the weights of the best validation epoch; without validation, the last ones."""
        if not self.data.n_validation:
            return
        name, better = self.model.monitor
        value = values[f"val_{name}"] * (1 if better == "min" else -1)
        self.waited += 1
        if value < self.best:
            self.best, self.waited = value, 0
            self.best_weights = {k: v.clone() for k, v in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        if _processes.rank():
            return
        tensors = {
            "model": self.model.state_dict(),
            "best": self.best_weights,
            "optimiser": {
                name: {str(i): slots for i, slots in o.state_dict()["state"].items()}
                for name, o in self.optimisers.items()
            },
            "random": {"cpu": torch.get_rng_state()}
            | ({"cuda": torch.cuda.get_rng_state(self.device)} if self.on_cuda else {}),
        }
        notes = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "waited": self.waited,
            "best": self.best,
            "history": self.history,
        }
        _checkpoint.write(path, tensors, notes)

    def resume(self, path: Path) -> None:
        state, notes = _checkpoint.read(path, self.fingerprint)
        self.model.load_state_dict(state["model"])
        self.best_weights = {k: v.to(self.device) for k, v in state.get("best", {}).items()}
        for name, optimiser in self.optimisers.items():
            slots = {int(i): s for i, s in state.get("optimiser", {}).get(name, {}).items()}
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self.epoch, self.waited, self.best = notes["epoch"], notes["waited"], notes["best"]
        torch.set_rng_state(state["random"]["cpu"])
        if self.on_cuda:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)
        self.diverge()
        self.history = notes["history"]

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"


def _moved_by(optimiser: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _digest(column_sums: Tensor, label: Tensor) -> str:
    """Tells data sets apart: column sums and labels, not every bit."""
    digest = hashlib.sha256()
    for part in (column_sums, label):
        digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()
