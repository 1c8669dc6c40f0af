"""Held-out accuracy against seconds: the default S-VQ-VAE fit beside the published recipe.

    sigilla bench time_to_quality [default] [published] [--epochs 900] [--minutes 30] [--seed 0]

Signatures are simulated as in ``svqvae_quality``: the 75 published prototypes, the published sizes
of the training set, one in ten held out. Every epoch's accuracy is appended to a table as it
comes; the published recipe goes on from its checkpoint where an earlier call stopped. Figure and
summary are drawn from the table after each call, whatever it holds by then.

The published recipe runs in sigilla's own trainer, which is faster than the published loop (see
``training``): the seconds are a lower limit for it. Rows that ``time_to_quality_peers`` wrote into
the same folder join the figure and the summary.

900 epochs take a quarter of an hour and are run once. ``--rounds 5`` adds how far that moves: five
times in turns, the default fit and ten epochs of the published recipe.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch

from sigilla.models.svqvae import SVQVAE, SVQVAEConfig
from sigilla.train import fit

sys.path.insert(0, str(Path(__file__).parent))
from _spread import spread
from svqvae_quality import Split, simulation

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
TABLE = "time_to_quality.csv"
PEERS_TABLE = "time_to_quality_peers.csv"
ROUNDS_TABLE = "time_to_quality_rounds.csv"
SOME_EPOCHS = 10  # of the published recipe, in a round
# What the figure calls a recipe, and its colour (Okabe & Ito's, for every kind of colour vision).
LOOKS = {
    "default": ("sigilla, default", "#0072b2"),
    "published": ("published recipe", "#d55e00"),
    "scanvi": ("scvi-tools, SCANVI", "#009e73"),
    "scvi": ("scvi-tools, SCVI", "#cc79a7"),
    "pythae_vqvae": ("pythae, VQ-VAE", "#e69f00"),
}
COLUMNS = ["recipe", "seed", "epoch", "seconds", "accuracy"]


class EnoughError(Exception):
    """The minutes of this call are used up."""


class Watched(SVQVAE):
    """Tells its accuracy on new observations before every epoch; its clock stops meanwhile."""

    split: Split
    curve: Curve

    def start_epoch(self, epoch: int) -> None:
        super().start_epoch(epoch)
        self.curve.tell(epoch, lambda: accuracy(self))


class Curve:
    """Rows of the table for one recipe and seed, appended as they come."""

    def __init__(
        self,
        path: Path,
        recipe: str,
        seed: int,
        minutes: float,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path, self.recipe, self.seed = path, recipe, seed
        self.minutes, self.begun, self.timer = minutes, time.perf_counter(), timer
        self.clock: float | None = None

    def rows(self) -> pd.DataFrame:
        table = read(self.path)
        return table[(table["recipe"] == self.recipe) & (table["seed"] == self.seed)]

    def start(self) -> None:
        """Start anew: earlier rows go, the clock runs."""
        self.forget_from(-1)
        self.begun, self.clock = time.perf_counter(), self.timer()

    def forget_from(self, epoch: int) -> None:
        """Drop what a checkpoint does not know of; -1 drops all."""
        table, mine = read(self.path), self.rows()
        table.drop(mine.index[mine["epoch"] >= epoch]).to_csv(self.path, index=False)

    def tell(self, epoch: int, judge: Callable[[], float]) -> None:
        """Write down what ``judge`` finds after this many epochs; the clock stops for it."""
        now = self.timer()
        if self.clock is None:  # went on from a checkpoint: so does the clock
            self.forget_from(epoch + 1)
            self.clock = now - float(self.rows()["seconds"].iloc[-1])
        else:
            self.append(epoch, now - self.clock, judge())
        self.clock += self.timer() - now
        if time.perf_counter() - self.begun > 60 * self.minutes:
            raise EnoughError

    def append(self, epoch: int, seconds: float, right: float) -> None:
        line = pd.DataFrame([[self.recipe, self.seed, epoch, seconds, right]], columns=COLUMNS)
        line.to_csv(self.path, mode="a", header=not self.path.exists(), index=False)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)


def accuracy(model: Watched) -> float:
    model.eval()
    nearest = model.embed(torch.as_tensor(model.split.new_x)).nearest.numpy()
    return float((nearest == model.split.new_label).mean())


def run(recipe: str, config: SVQVAEConfig, split: Split, curve: Curve) -> None:
    """One fit; the seconds count from before the model is made to the last epoch."""
    checkpoint = curve.path.with_name(f"{curve.path.stem}_{recipe}_{curve.seed}.checkpoint")
    if not checkpoint.exists():
        curve.start()
    classes = [str(k) for k in range(split.n_classes)]
    n_features = split.x.shape[1]
    model = Watched(config, n_features=n_features, classes=classes, seed=curve.seed)
    model.split, model.curve = split, curve
    try:
        fit(
            model,
            split.x,
            split.label,
            random_state=curve.seed,
            progress=False,
            checkpoint=checkpoint,
        )
    except EnoughError:
        print(f"{recipe}: {len(curve.rows())} epochs so far; call again to go on", flush=True)
        return
    if curve.clock is not None:
        last = int(curve.rows()["epoch"].max()) + 1
        curve.append(last, curve.timer() - curve.clock, accuracy(model))


def rounds(configs: dict[str, SVQVAEConfig], split: Split, seed: int, count: int) -> pd.DataFrame:
    """In turns, so many times: a default fit, and the seconds of a published epoch."""
    found = []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as folder:
            for recipe, config in configs.items():
                curve = Curve(Path(folder) / TABLE, recipe, seed, np.inf)
                run(recipe, config, split, curve)
                found.append(curve.rows().assign(round=len(found) // len(configs)))
        print(f"round {len(found) // len(configs)} of {count}", flush=True)
    return pd.concat(found, ignore_index=True)


# ---------------------------------------------------------------- figure and summary


def with_peers(folder: Path) -> pd.DataFrame:
    """The table, and of the peers' those recipes that it does not have itself."""
    own, peers = read(folder / TABLE), read(folder / PEERS_TABLE)
    peers = peers[~peers["recipe"].isin(own["recipe"])]
    return pd.concat([part for part in (own, peers) if len(part)] or [own], ignore_index=True)


def summary(table: pd.DataFrame) -> list[str]:
    """How long each takes, and how long the default takes to the best of every other."""
    head = "| recipe | seed | epochs | seconds | held-out accuracy, last | best |"
    lines = [head, "|---" * 6 + "|"]
    for (recipe, seed), rows in table.groupby(["recipe", "seed"]):
        last = rows.iloc[-1]
        lines.append(
            f"| {recipe} | {seed} | {int(last['epoch'])} | {last['seconds']:.1f} "
            f"| {last['accuracy']:.3f} | {rows['accuracy'].max():.3f} |"
        )
    for _, rows in table.groupby("seed"):
        ours = rows[rows["recipe"] == "default"]
        others = [rows[rows["recipe"] == r] for r in LOOKS if r != "default"]
        lines += [
            s for theirs in others if len(ours) and len(theirs) for s in ("", sooner(ours, theirs))
        ]
    return lines


def sooner(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """When the default passes the best that another recipe reached, in words."""
    best, end = theirs.loc[theirs["accuracy"].idxmax()], theirs.iloc[-1]
    goal, start = best["accuracy"], f"Seed {end['seed']}: "
    first = ours[ours["accuracy"] >= goal]
    name = LOOKS[end["recipe"]][0]
    if first.empty:
        return f"{start}the default does not reach the {goal:.3f} of {name}."
    passed = first.iloc[0]["seconds"]
    ends, than_end = "", ""
    if end["recipe"] == "published":  # the peers may have been cut short: their end says nothing
        ends = (
            f"ends after {int(end['epoch'])} epochs and {end['seconds']:.0f} s at "
            f"{end['accuracy']:.3f}; on its way it "
        )
        than_end = f"{end['seconds'] / passed:.0f} times sooner than the recipe ends, "
    return (
        f"{start}{name} {ends}was best with {goal:.3f}, after {best['seconds']:.0f} s. The default "
        f"passes {goal:.3f} after {passed:.2f} s: {than_end}{best['seconds'] / passed:.1f} times "
        "sooner than its best epoch."
    )


def of_rounds(table: pd.DataFrame, timed: pd.DataFrame) -> list[str]:
    """How many times sooner the default passes the published recipe's best, round by round."""
    theirs = table[(table["recipe"] == "published") & (table["seed"] == timed["seed"].iloc[0])]
    goal, epochs = theirs["accuracy"].max(), int(theirs["epoch"].max())
    ours = timed[(timed["recipe"] == "default") & (timed["accuracy"] >= goal)]
    passed = ours.groupby("round")["seconds"].min()
    some = timed[timed["recipe"] == "published"].groupby("round")
    of_all = epochs * (some["seconds"].max() - some["seconds"].min()) / some["epoch"].max()
    return [
        "",
        (
            f"{some.ngroups} rounds in turns, least / median / greatest: the default passes "
            f"{goal:.3f} after {spread(passed, '.2f')} s; {epochs} published epochs, from "
            f"{SOME_EPOCHS} timed ones, take {spread(of_all, '.0f')} s: "
            f"{spread(of_all / passed, '.0f')} times sooner."
        ),
    ]


def draw(table: pd.DataFrame, path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for recipe, (name, colour) in LOOKS.items():
        for i, (_, rows) in enumerate(table[table["recipe"] == recipe].groupby("seed")):
            label = None if i else name
            ax.plot(rows["seconds"], rows["accuracy"], color=colour, label=label)
    ax.set(xscale="log", xlabel="seconds of training", ylabel="held-out accuracy, 75 classes")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["default", "published"])
    parser.add_argument("--epochs", type=int, default=900, help="of the published recipe")
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop, to be gone on with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="only the spread, from so many rounds")
    parser.add_argument("--draw", action="store_true", help="only draw what the tables hold")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    mpl.use("agg")
    configs: dict[str, Any] = {
        "default": SVQVAEConfig(),
        "published": SVQVAEConfig.published(max_epochs=options.epochs),
    }
    unknown = set(options.recipes) - set(configs)
    if unknown:
        parser.error(f"{sorted(unknown)} is not among {list(configs)}")
    options.out.mkdir(parents=True, exist_ok=True)
    split = simulation(options.seed)
    if options.rounds:
        few = configs | {"published": replace(configs["published"], max_epochs=SOME_EPOCHS)}
        found = rounds(few, split, options.seed, options.rounds)
        found.to_csv(options.out / ROUNDS_TABLE, index=False)
    for recipe in () if options.draw or options.rounds else options.recipes:
        run(
            recipe,
            configs[recipe],
            split,
            Curve(options.out / TABLE, recipe, options.seed, options.minutes),
        )
    table = with_peers(options.out)
    intro = (
        f"{len(split.x) + len(split.new_x):,} simulated signatures x {split.x.shape[1]} genes, 75 "
        f"classes of the published sizes, one in ten held out; {options.threads} thread(s), torch "
        f"{torch.__version__}. Seconds are of training, start in closed form included, judging "
        "excluded; the published recipe runs in sigilla's trainer."
    )
    if not table["recipe"].isin(configs).all():
        intro += (
            " Seconds of the peers are of the processor; how they ran stands with their own table."
        )
    draw(table, options.out / "time_to_quality.png")
    figure = "![Accuracy against seconds](time_to_quality.png)"
    lines = ["## Time to quality", "", intro, "", figure, "", *summary(table)]
    if (options.out / ROUNDS_TABLE).exists():
        lines += of_rounds(table, read(options.out / ROUNDS_TABLE))
    (options.out / "time_to_quality.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
