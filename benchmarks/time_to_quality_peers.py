"""Held-out accuracy against seconds: SCVI, SCANVI and pythae's VQ-VAE on the same signatures.

    pip install scvi-tools==1.4.2 pythae==0.1.2      best in an environment of its own
    sigilla bench time_to_quality_peers [default] [scvi] [scanvi] [pythae_vqvae] [--minutes 4]

Data, clock and table are those of ``time_to_quality``, whose figure shows these rows too. Every
recipe runs with the defaults of its package, until they are through or the minutes are used up:

* ``scvi``: 400 epochs, batch 128, 10 dimensions, one in ten kept back from training. A signature
  falls to the class with the nearest mean of the latent.
* ``scanvi``: the same, trained with the labels from the start; its own classifier decides.
* ``pythae_vqvae``: 100 epochs, batch 64, 512 codes. It knows no labels: nearest class mean, before
  the codes, where it does better than behind them. It has no default for the size of the latent,
  which is 10, too; given vectors, it looks a code up for each of those 10 numbers. One code for a
  whole latent of 128 did worse: nearly all signatures got the same one.

z-scores are no counts, so the two of scvi-tools get ``gene_likelihood="normal"``, no logarithm
before the encoder, and a size factor of 1 in the place of the sum of counts. Their decoder still
yields no mean below zero, which may hold them back; with each gene shifted above zero they did
worse over the first epochs. pythae gets the z-scores as they are. None of the three sees the
held-out signatures while it learns.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anndata import AnnData

from sigilla.models.svqvae import SVQVAEConfig

sys.path.insert(0, str(Path(__file__).parent))
from svqvae_quality import Split, nearest, simulation
from time_to_quality import PEERS_TABLE, RESULTS, Curve, EnoughError, read, run, summary

if TYPE_CHECKING:
    import pandas as pd

INSTALL = "pip install scvi-tools==1.4.2 pythae==0.1.2"
Judge = Callable[[torch.nn.Module], float]


def right(found: np.ndarray, split: Split) -> float:
    return float((found == split.new_label).mean())


def by_means(split: Split, encode: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Accuracy on the held-out part, each to the class with the nearest mean of the latent."""
    latent, new = (encode(torch.as_tensor(x)).numpy() for x in (split.x, split.new_x))
    means = [latent[split.label == k].mean(axis=0) for k in range(split.n_classes)]
    return right(nearest(new, np.stack(means)), split)


def judged(module: torch.nn.Module, judge: Judge) -> float:
    """Judge, and leave the module and the random numbers of its training as they were."""
    module.eval()
    with torch.no_grad(), torch.random.fork_rng():
        found = judge(module)
    module.train()
    return found


# ---------------------------------------------------------------- scvi-tools

NORMAL = {"gene_likelihood": "normal", "log_variational": False}


def as_adata(split: Split) -> AnnData:
    adata = AnnData(split.x)
    adata.obs["label"] = [f"{k:02}" for k in split.label]  # sorts like the numbers
    adata.obs["one"] = 1.0
    return adata


def no_batch(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(x), 1)


def train(model: Any, curve: Curve, judge: Judge) -> None:
    from lightning.pytorch.callbacks import LambdaCallback

    def tell(trainer: Any, plan: Any) -> None:
        curve.tell(trainer.current_epoch + 1, lambda: judged(plan.module, judge))

    watch = LambdaCallback(on_train_epoch_end=tell)
    model.train(accelerator="cpu", devices=1, callbacks=[watch], enable_progress_bar=False)


def scvi(split: Split, curve: Curve) -> None:
    from scvi import settings
    from scvi.model import SCVI

    def judge(module: Any) -> float:
        return by_means(split, lambda x: module.z_encoder(x, no_batch(x))[0].loc)

    settings.seed = curve.seed
    curve.start()
    adata = as_adata(split)
    SCVI.setup_anndata(adata, size_factor_key="one")
    train(SCVI(adata, **NORMAL), curve, judge)


def scanvi(split: Split, curve: Curve) -> None:
    from scvi import settings
    from scvi.model import SCANVI

    new_x = torch.as_tensor(split.new_x)

    def judge(module: Any) -> float:
        scores = module.classify(new_x, batch_index=no_batch(new_x))
        return right(scores.argmax(dim=1).numpy(), split)

    settings.seed = curve.seed
    curve.start()
    adata = as_adata(split)
    SCANVI.setup_anndata(
        adata, labels_key="label", unlabeled_category="unknown", size_factor_key="one"
    )
    train(SCANVI(adata, **NORMAL), curve, judge)


# ---------------------------------------------------------------- pythae


def pythae_vqvae(split: Split, curve: Curve) -> None:
    from pythae.models import VQVAE, VQVAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    def judge(module: Any) -> float:
        return by_means(split, lambda x: module.encoder(x).embedding)

    class Watch(TrainingCallback):
        epoch = 0

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.epoch += 1
            curve.tell(self.epoch, lambda: judged(model, judge))

    torch.manual_seed(curve.seed)
    curve.start()
    model = VQVAE(VQVAEConfig(input_dim=split.x.shape[1:], latent_dim=10))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(output_dir=folder, seed=curve.seed, no_cuda=True)
        TrainingPipeline(model, config)(split.x, callbacks=[Watch()])


# ---------------------------------------------------------------- command


# Of the peers by their defaults, on data of this size.
EPOCHS = {"scvi": 400, "scanvi": 400, "pythae_vqvae": 100}


def cut_short(table: pd.DataFrame) -> str:
    """Which recipes the minutes ended: what they would have reached is not known."""
    last = table.groupby("recipe")["epoch"].max()
    cut = [
        f"{r} at {last[r]} of {n} epochs" for r, n in EPOCHS.items() if r in last and last[r] < n
    ]
    return f" Cut short by the minutes: {', '.join(cut)}." if cut else ""


def default(split: Split, curve: Curve) -> None:
    run("default", SVQVAEConfig(), split, curve)


RECIPES = {f.__name__: f for f in (default, scvi, scanvi, pythae_vqvae)}


def attempt(recipe: str, split: Split, curve: Curve) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other packages
            RECIPES[recipe](split, curve)
    except ImportError as error:
        print(f"{recipe}: left out, {error}; {INSTALL}", flush=True)
    except EnoughError:
        print(f"{recipe}: {curve.minutes:g} minutes are used up", flush=True)


def versions() -> str:
    def of(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} not installed"

    return ", ".join(of(name) for name in ("torch", "scvi-tools", "pythae"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--minutes", type=float, default=4, help="for each recipe, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count this process's seconds on the processor, where others use the machine too",
    )
    parser.add_argument("--draw", action="store_true", help="only tell what the table holds")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    unknown = set(options.recipes) - set(RECIPES)
    if options.processor_time and options.threads > 1:
        parser.error("--processor-time adds up over threads: it needs --threads 1")
    if unknown:
        parser.error(f"{sorted(unknown)} is not among {list(RECIPES)}")
    torch.set_num_threads(options.threads)
    logging.disable(logging.INFO)  # pythae and lightning tell much
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / PEERS_TABLE
    split = simulation(options.seed)
    timer = time.process_time if options.processor_time else time.perf_counter
    for recipe in () if options.draw else options.recipes:
        attempt(recipe, split, Curve(path, recipe, options.seed, options.minutes, timer))
    intro = (
        f"`sigilla bench time_to_quality_peers`, the same signatures; --threads {options.threads}, "
        f"{versions()}. Seconds are {'of the processor' if options.processor_time else 'elapsed'}, "
        "judging excluded. Every recipe has the defaults of its package and at most "
        f"{options.minutes:g} minutes, judging included; what was chosen where there is no default "
        "stands at the head of the script."
    )
    table = read(path)
    intro += cut_short(table)
    lines = ["## Time to quality: peers", "", intro, "", *summary(table)]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
