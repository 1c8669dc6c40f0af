"""One loop for every model."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sigilla.models import Batch, Model
from sigilla.seed import generator
from sigilla.train import _checkpoint
from sigilla.train._device import fits_on, resolve_device
from sigilla.train._progress import bar
from sigilla.train._split import holdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from sigilla.models import Loss

# Validation needs no gradients: larger batches, fewer launches.
_EVAL_BATCH = 8192
_CHECKPOINT_SECONDS = 30.0


class TrainingError(ArithmeticError):
    """A loss term left the real numbers."""


def fit(
    model: Model,
    x: NDArray[np.float32] | Tensor,
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
    device for the whole fit where they fit; the host waits for the device once per epoch.

    Parameters
    ----------
    model
        The model; its config says how long and how fast.
    x
        Observations x features.
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
    x = torch.as_tensor(x, dtype=torch.float32)
    label = torch.full((len(x),), -1) if label is None else torch.as_tensor(label)
    cuda = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(random_state)
        run = _Run(model, x, label.long(), random_state, where)
        return run.go(progress, None if checkpoint is None else Path(checkpoint))


class _Run:
    """State of one fit: everything a checkpoint must hold, and nothing else."""

    def __init__(
        self, model: Model, x: Tensor, label: Tensor, random_state: int, device: torch.device
    ) -> None:
        config = model.config
        self.model = model.to(device)
        self.device = device
        held = np.zeros(len(x), dtype=bool)
        if config.validation_fraction:
            held = holdout(label.numpy(), config.validation_fraction, generator(random_state))
        if fits_on(device, x.nbytes):
            x, label = x.to(device), label.to(device)
        self.x, self.label = x, label
        self.training = torch.from_numpy(np.flatnonzero(~held)).to(x.device)
        self.validation = torch.from_numpy(np.flatnonzero(held)).to(x.device)
        self.fingerprint = {
            "method": model.name,
            "config": dataclasses.asdict(config),
            "shape": list(x.shape),
            "random_state": random_state,
            "data": _digest(x, label),
        }
        self.epoch = 0
        self.waited = 0
        self.best = math.inf
        self.best_weights: dict[str, Tensor] = {}
        self.history: dict[str, list[float]] = {}

    def go(self, progress: bool | None, checkpoint: Path | None) -> dict[str, NDArray[np.float64]]:
        model, config = self.model, self.model.config
        resuming = checkpoint is not None and checkpoint.exists()
        if not resuming:
            model.prepare(self.x[self.training], self.label[self.training])
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
        elif len(self.validation):
            # A start in closed form may be the best that held-out observations see.
            self.judge({f"val_{name}": value for name, value in self.validate().items()})
        before = self.history["seconds"][-1] if self.history else 0.0
        start = saved = time.perf_counter()
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
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        return {name: np.array(values) for name, values in self.history.items()}

    def one_epoch(self) -> dict[str, float]:
        self.model.start_epoch(self.epoch)
        self.model.train()
        seen = _Means()
        order = self.training[torch.randperm(len(self.training), device=self.training.device)]
        for batch in self.batches(order, self.model.config.batch_size):
            for phase, optimiser in self.optimisers.items():
                loss = self.loss(batch, phase)
                optimiser.zero_grad(set_to_none=True)
                loss.total.backward()  # type: ignore[no-untyped-call]  # torch ships none
                optimiser.step()
                seen.add(loss, len(batch.x))
        values = self.guard(seen)
        if len(self.validation):
            values |= {f"val_{name}": value for name, value in self.validate().items()}
        return values

    def loss(self, batch: Batch, phase: str) -> Loss:
        half = self.model.config.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            return self.model.loss(batch, phase=phase)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        self.model.eval()
        seen = _Means()
        for batch in self.batches(self.validation, _EVAL_BATCH):
            for phase in self.optimisers:
                seen.add(self.loss(batch, phase), len(batch.x))
        return self.guard(seen)

    def batches(self, order: Tensor, size: int) -> Iterator[Batch]:
        # Parts of nearly one size: a last batch of one row would be all noise.
        for index in torch.tensor_split(order, math.ceil(len(order) / size)):
            x, label = self.x.index_select(0, index), self.label.index_select(0, index)
            yield Batch(
                x.to(self.device, non_blocking=True), label.to(self.device, non_blocking=True)
            )

    def guard(self, seen: _Means) -> dict[str, float]:
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
        if not len(self.validation):
            return
        name, better = self.model.monitor
        value = values[f"val_{name}"] * (1 if better == "min" else -1)
        self.waited += 1
        if value < self.best:
            self.best, self.waited = value, 0
            self.best_weights = {k: v.clone() for k, v in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
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
        torch.set_rng_state(state["random"]["cpu"])
        if self.on_cuda:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)
        self.epoch, self.waited, self.best = notes["epoch"], notes["waited"], notes["best"]
        self.history = notes["history"]

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"


class _Means:
    """Running means of an epoch's terms, kept on the device until the epoch is over."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, ...], Tensor] = {}
        self.finite: dict[tuple[str, ...], Tensor] = {}
        self.rows: dict[tuple[str, ...], int] = {}

    def add(self, loss: Loss, rows: int) -> None:
        values = {"loss": loss.total} | loss.terms | loss.metrics
        names = tuple(values)
        row = torch.stack([v.detach() for v in values.values()])
        if names not in self.sums:
            self.sums[names], self.finite[names] = torch.zeros_like(row), torch.zeros_like(row)
            self.rows[names] = 0
        self.sums[names].add_(row, alpha=rows)
        self.finite[names] += row.isfinite()
        self.rows[names] += rows

    def values(self) -> dict[str, float]:
        """The means, by name; the one wait of the epoch."""
        return {
            name: value / self.rows[names]
            for names, sums in self.sums.items()
            for name, value in zip(names, sums.tolist(), strict=True)
        }

    def first_broken(self) -> str:
        """The term that was finite for the fewest steps: it broke the others."""
        steps = {
            name: count
            for names, finite in self.finite.items()
            for name, count in zip(names, finite.tolist(), strict=True)
            if name != "loss"
        }
        return min(steps, key=steps.__getitem__)


def _digest(x: Tensor, label: Tensor) -> str:
    """Tells data sets apart: column sums and labels, not every bit."""
    parts: list[Any] = [x.sum(dim=0, dtype=torch.float64), label]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()
