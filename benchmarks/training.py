"""Seconds of an epoch beside its matrix products and the published loop, all in one run.

    sigilla bench training [--repeats 5] [--threads 2] [--compiled] [--quick]

For each case these take turns, each in a process of its own, as who uses it would run it: the
published loop, written anew from its formulas; the same objective and widths through sigilla's
trainer, in float32 and in bfloat16; and the matrix products of the published epoch alone (where
nothing is published, of ours), recorded and played again by ``torch.matmul`` into ready buffers in
either precision. The trainer has the C library keep what a step lets go of, which would else be
mapped anew, page by page, in the next; the published loop is also timed with that and nothing else.
With ``--compiled`` (needs a C++ compiler, and 20 to 40 seconds for each) the published formulas
also run as fast as torch alone makes them: compiled, with a fused optimiser, in either precision.
Writes a table to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code
from torch.utils._python_dispatch import TorchDispatchMode

from sigilla.models import SVQVAE, VAE, Model
from sigilla.nn import mlp
from sigilla.train import fit
from sigilla.train._device import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parent))
from _memory import have_at_hand
from _spread import spread

if TYPE_CHECKING:
    from collections.abc import Callable

    Epoch = Callable[[], float]  # its seconds

RESULTS = Path(__file__).parent / "results"
N_GENES, N_CLASSES = 978, 75
ONE_EPOCH = {"max_epochs": 2, "validation_fraction": 0.0}  # the first one warms up

AT_HAND = 512 * 2**20  # more than a few steps take
KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

aten = torch.ops.aten
PRODUCTS = {aten.mm.default: 0, aten.addmm.default: 1, aten.bmm.default: 0}
ONEDNN_PRODUCT = "mkldnn::_linear_pointwise"


@dataclass(frozen=True)
class Data:
    x: torch.Tensor
    label: torch.Tensor


# ---------------------------------------------------------------- the lower limit


class Recorder(TorchDispatchMode):
    """The operands of every matrix product: shape and layout."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[Any, ...], ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        two = ()
        if func in PRODUCTS:
            two = args[PRODUCTS[func] : PRODUCTS[func] + 2]
        elif func.name() == ONEDNN_PRODUCT:
            two = (args[0], args[1].T)
        if two:
            self.calls.append(tuple((tuple(t.shape), t.stride()) for t in two))
        return func(*args, **(kwargs or {}))


def products_of(epoch: Callable[[], object], kind: torch.dtype) -> Epoch:
    """The products of one epoch, played again in this type without anything between them."""
    recorder = Recorder()
    with recorder:
        epoch()
    made: dict[Any, torch.Tensor] = {}

    def buffer(shape: Any, stride: Any, role: int) -> torch.Tensor:
        key = (shape, stride, role)
        if key not in made:
            made[key] = torch.empty_strided(shape, stride, dtype=kind).uniform_(-1, 1)
        return made[key]

    ready = []
    for a, b in recorder.calls:
        out = (*a[0][:-1], b[0][-1])
        dense = (out[1], 1) if len(out) == 2 else (out[1] * out[2], out[2], 1)
        ready.append((buffer(*a, 0), buffer(*b, 1), buffer(out, dense, 2)))

    def play() -> float:
        start = time.perf_counter()
        for a, b, out in ready:
            torch.matmul(a, b, out=out)
        return time.perf_counter() - start

    return play


def one_epoch(model: Model, data: Data) -> Callable[[], object]:
    """An epoch without the start in closed form."""
    model.config = replace(model.config, max_epochs=1)
    model.prepare = lambda *_: None
    return lambda: fit(model, data.x, data.label, progress=False, device="cpu")


# ---------------------------------------------------------------- contestants


def trained(make: Callable[[], Model], data: Data) -> Epoch:
    """An epoch of the real trainer."""

    def epoch() -> float:
        seconds = fit(make(), data.x, data.label, progress=False, device="cpu")["seconds"]
        return float(seconds[-1] - seconds[-2])

    return epoch


@dataclass(frozen=True)
class Published:
    """What a paper trains: its loss with what it prints, and its optimiser."""

    loss: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    weights: list[nn.Parameter]
    adam: dict[str, Any]


def published_svqvae() -> Published:
    """Xue, Ding & Lu 2019: their objective step by step."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(N_GENES, 1000), nn.Tanh())
    decoder = nn.Sequential(nn.Linear(1000, N_GENES), nn.Tanh())
    codes = nn.Embedding(N_CLASSES, 1000)
    codes.weight.data.uniform_(-1 / N_CLASSES, 1 / N_CLASSES)

    def loss(x: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = encoder(x)
        e = codes.weight
        distances = z.pow(2).sum(1, keepdim=True) + e.pow(2).sum(1) - 2 * z @ e.t()
        nearest = distances.argmin(1)
        chosen = torch.zeros(len(x), N_CLASSES).scatter_(1, label[:, None], 1)
        found = torch.zeros(len(x), N_CLASSES).scatter_(1, nearest[:, None], 1)
        own, wrong = chosen @ e, found @ e
        differs = (label != nearest).float()[:, None]
        divergence = (differs * (wrong - z.detach()) ** 2).mean()
        divergence = divergence + 0.1 * (differs * (wrong.detach() - z) ** 2).mean()
        pull = F.mse_loss(own, z.detach()) + 0.25 * F.mse_loss(z, own.detach())
        reconstruction = F.mse_loss(decoder(z + (own - z).detach()) * 10, x)
        used = chosen.mean(0)
        perplexity = torch.exp(-(used * torch.log(used + 1e-10)).sum())
        shown = torch.stack([reconstruction.detach(), perplexity])
        return reconstruction + pull - divergence, shown

    weights = [p for part in (encoder, decoder, codes) for p in part.parameters()]
    return Published(loss, weights, {"lr": 1e-4, "amsgrad": True})


def published_vae() -> Published:
    """The companion VAE: 978-1000-1000-100, tanh, mean squared error plus mean KL, Adam."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(N_GENES, 1000), nn.Tanh(), nn.Linear(1000, 1000), nn.Tanh())
    heads = nn.ModuleList(nn.Linear(1000, 100) for _ in range(2))
    layers = [nn.Linear(100, 1000), nn.Tanh(), nn.Linear(1000, 1000), nn.Tanh()]
    decoder = nn.Sequential(*layers, nn.Linear(1000, N_GENES), nn.Tanh())

    def loss(x: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        del label
        hidden = encoder(x)
        mean, log_var = (head(hidden) for head in heads)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        reconstruction = F.mse_loss(decoder(z) * 10, x)
        kl = -0.5 * torch.mean(1 + log_var - mean.pow(2) - log_var.exp())
        return reconstruction + kl, torch.stack([reconstruction.detach(), kl.detach()])

    weights = [p for part in (encoder, heads, decoder) for p in part.parameters()]
    return Published(loss, weights, {"lr": 1e-3})


def loop(paper: Published, data: Data) -> Epoch:
    """An epoch as published: in 32 bits, what is printed read after each step."""
    optimiser = torch.optim.Adam(paper.weights, **paper.adam)

    def step(x: torch.Tensor, label: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss, shown = paper.loss(x, label)
        loss.backward()
        optimiser.step()
        shown.tolist()

    return lambda: in_batches(step, data)


def compiled(paper: Published, data: Data, *, half: bool) -> Epoch:
    """All that torch itself has for the same formulas: compiled, with a fused optimiser."""
    optimiser = torch.optim.Adam(paper.weights, fused=True, **paper.adam)
    fast = torch.compile(paper.loss, dynamic=False)

    def step(x: torch.Tensor, label: torch.Tensor) -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss, _ = fast(x, label)
        loss.backward()
        optimiser.step()

    return lambda: in_batches(step, data)


def in_batches(step: Callable[[torch.Tensor, torch.Tensor], None], data: Data) -> float:
    start = time.perf_counter()
    for index in torch.randperm(len(data.x)).split(256):
        step(data.x[index], data.label[index])
    return time.perf_counter() - start


class DeepVAE(VAE):
    """The published widths, with sigilla's likelihood, in sigilla's trainer."""

    def build(self, n_features: int, n_classes: int) -> None:
        super().build(n_features, n_classes)
        self.encoder = mlp([n_features, 1000, 1000, 200], activation="tanh")
        self.decoder = mlp([100, 1000, 1000, n_features], activation="tanh")


def svqvae(**options: Any) -> Model:
    config = SVQVAE.Config.published(**(ONE_EPOCH | options))
    return SVQVAE(config, n_features=N_GENES, classes=[str(k) for k in range(N_CLASSES)])


def default_svqvae(**options: Any) -> Model:
    config = SVQVAE.Config(**(ONE_EPOCH | {"validation_fraction": 0.1, "patience": 9} | options))
    return SVQVAE(config, n_features=N_GENES, classes=[str(k) for k in range(N_CLASSES)])


def vae(**options: Any) -> Model:
    return DeepVAE(VAE.Config(n_latent=100, **(ONE_EPOCH | options)), n_features=N_GENES)


CASES: dict[str, tuple[Callable[..., Model], Callable[[], Published] | None]] = {
    "S-VQ-VAE 978-1000-978, 75 codes, batch 256": (svqvae, published_svqvae),
    "VAE 978-1000-1000-100, batch 256": (vae, published_vae),
    "S-VQ-VAE, sigilla's default, batch 64, with validation": (default_svqvae, None),
}


def contestants(case: str, *, compiles: bool) -> dict[str, Callable[[Data], Epoch]]:
    """What makes each of them ready, by name."""
    make, published = CASES[case]
    peers: dict[str, Callable[[Data], Epoch]] = {}
    if published is not None:
        peers["published loop"] = lambda data: loop(published(), data)
        peers["published loop, memory kept"] = lambda data: keeping(loop(published(), data))
        if compiles:
            for kind in KINDS:
                peers[f"published, compiled, {kind}"] = lambda data, kind=kind: compiled(
                    published(), data, half=kind == "bfloat16"
                )

    def recorded(data: Data) -> Callable[[], object]:
        return one_epoch(make(), data) if published is None else loop(published(), data)

    for kind, dtype in KINDS.items():
        peers[f"products, {kind}"] = lambda data, dtype=dtype: products_of(recorded(data), dtype)
        peers[f"sigilla, {kind}"] = lambda data, kind=kind: trained(
            lambda: make(precision=kind), data
        )
    return peers


def keeping(epoch: Epoch) -> Epoch:
    keep_freed_memory()
    return epoch


# ---------------------------------------------------------------- the race


@dataclass(frozen=True)
class Setting:
    """What a race is about."""

    case: str
    n_signatures: int
    threads: int


@cache
def ready(setting: Setting, name: str) -> Epoch:
    """One contestant, made once in its process."""
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    n = setting.n_signatures
    data = Data(torch.randn(n, N_GENES), torch.randint(N_CLASSES, (n,)))
    return contestants(setting.case, compiles=True)[name](data)


def epoch_of(setting: Setting, name: str) -> float:
    epoch = ready(setting, name)
    have_at_hand(AT_HAND)
    return epoch()


def race(setting: Setting, repeats: int, *, compiles: bool) -> dict[str, list[float]]:
    """Everyone once per round, so that a slow minute of the machine hits all alike."""
    names = list(contestants(setting.case, compiles=compiles))
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = {name: stack.enter_context(context.Pool(1)) for name in names}
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(1 + repeats):  # the first round warms up
            for name, pool in pools.items():
                times[name].append(pool.apply(epoch_of, (setting, name)))
    return {name: seconds[1:] for name, seconds in times.items()}


# ---------------------------------------------------------------- table


def ratios(times: dict[str, list[float]], name: str, to: str) -> list[float]:
    return [a / b for a, b in zip(times[name], times[to], strict=True)]


def lines_of(case: str, times: dict[str, list[float]]) -> list[str]:
    """Seconds, how often that is of its own products, and how often the published loop is."""
    lines = []
    for name, seconds in times.items():
        own = f"products, {name.rpartition(' ')[2]}"
        over = "" if "products" in name or own not in times else spread(ratios(times, name, own))
        faster = spread(ratios(times, "published loop", name)) if "published loop" in times else ""
        lines.append(f"| {case} | {name} | {spread(seconds, '.3f')} | {over} | {faster} |")
        case = ""
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2,048 signatures, 3 repeats")
    parser.add_argument(
        "--compiled", action="store_true", help="the published formulas through torch.compile too"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "training.md")
    options = parser.parse_args()
    n, repeats = (2048, 3) if options.quick else (9769, options.repeats)
    intro = (
        f"{n:,} signatures x {N_GENES} genes, {options.threads} threads, "
        f"torch {torch.__version__}, {repeats} rounds in turns, each in a process of its own: "
        "least / median / greatest. *Memory kept*: what a step lets go of is not given back to the "
        "system, as in sigilla's trainer. *Over products* is an epoch over the matrix products of "
        "the published epoch (in the last case, of its own), played again from a recording in the "
        "same precision; *faster* is the published loop over it, round by round."
    )
    head = "| case | what | seconds | over products | faster than the published loop |"
    lines = ["## Training: seconds of an epoch", "", intro, "", head, "|---|---|---|---|---|"]
    for case in CASES:
        setting = Setting(case, n, options.threads)
        measured = lines_of(case, race(setting, repeats, compiles=options.compiled))
        print("\n".join(measured), flush=True)
        lines += measured
    if not options.quick:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
