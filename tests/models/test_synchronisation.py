"""A step never waits for the device: what would make it wait is counted as it is dispatched."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sigilla.models import METHODS, VAE, Batch, Loss, Model
from sigilla.train._fit import _Run
from sigilla.train._means import Means

aten = torch.ops.aten
# A value read by the host; shapes that depend on values. Both stop a queue of kernels.
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.unique_dim.default,
    aten._unique2.default,
    aten.bincount.default,
}
WIDE = {"n_latent": 4, "n_hidden": 8, "n_codes": 3}


class Waits(TorchDispatchMode):
    """Counts the operations that wait, by name; indexing by a mask is a hidden ``nonzero``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        by_mask = func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
        if func in WAITS or (
            by_mask and any(i is not None and i.dtype == torch.bool for i in args[1])
        ):
            self.found.append(str(func))
        if func is aten._to_copy.default and kwargs.get("device") not in (None, args[0].device):
            self.found.append("copy to another device")
        return func(*args, **kwargs)


class Reads(TorchFunctionMode):
    """Counts what hands memory of the CPU out without an operation; on a card it would wait."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu):
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


def step(model: Model, batch: Batch) -> list[str]:
    """What waits in all phases of a step, with the means that the trainer keeps."""
    optimisers = {
        p.name: torch.optim.AdamW(p.parameters, amsgrad=p.amsgrad, fused=True)
        for p in model.phases()
    }
    seen = Means()
    with Waits() as waits, Reads(waits.found):
        for phase, optimiser in optimisers.items():
            loss = model.loss(batch, phase=phase)
            optimiser.zero_grad(set_to_none=True)
            loss.total.backward()
            optimiser.step()
            seen.add(loss, len(batch.x))
    return waits.found


def made(method: type[Model], **options: object) -> tuple[Model, Batch]:
    known = {f.name for f in dataclasses.fields(method.Config)}
    config = method.Config(**{k: v for k, v in (WIDE | options).items() if k in known})
    model = method(config, n_features=6, classes="abc" if method.uses_labels else ())
    return model.train(), Batch(torch.randn(20, 6), torch.arange(20) % 4 - 1)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_step_of_a_method_waits_for_the_device(method):
    assert step(*made(method)) == []


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_nor_does_one_in_bfloat16(method):
    with torch.autocast("cpu", torch.bfloat16):
        assert step(*made(method)) == []


def test_nor_does_one_of_the_published_objectives():
    assert step(*made(METHODS["svqvae"], objective="xue2020")) == []
    assert step(*made(METHODS["vae"], recipe="chen2023")) == []


@pytest.mark.parametrize(
    ("read", "named"),
    [
        (lambda x: x.sum().item(), "_local_scalar_dense"),
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: bool((x > 0).any()), "_local_scalar_dense"),
        (lambda x: x.sum().tolist(), "tolist"),
        (lambda x: x.detach().cpu().numpy(), "numpy"),
        (lambda x: x[x[:, 0] > 0], "index.Tensor"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.detach().to("meta"), "copy to another device"),
    ],
)
def test_what_waits_is_found(read, named):
    class Curious(VAE):
        def loss(self, batch: Batch, *, phase: str) -> Loss:
            read(batch.x)
            return super().loss(batch, phase=phase)

    found = step(*made(Curious))
    assert any(named in name for name in found), found


def test_an_epoch_of_the_trainer_waits_once_for_each_mean_and_not_per_step():
    counts = []
    for size in (10, 40):
        config = VAE.Config(
            n_latent=2, n_hidden=4, batch_size=size, validation_fraction=0, max_epochs=0
        )
        model = VAE(config, n_features=6)
        label = torch.full((400,), -1)
        run = _Run(model, torch.randn(400, 6), label, 0, torch.device("cpu"))
        run.go(progress=False, checkpoint=None)
        with Waits() as waits, Reads(waits.found):
            run.one_epoch()
        counts.append(len(waits.found))
    assert counts[0] == counts[1] > 0
