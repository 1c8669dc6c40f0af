"""Large batches: whether the default S-VQ-VAE keeps its quality, and what an epoch then takes.

    sigilla bench large_batch [--seeds 3] [--threads 2]

Signatures are simulated as in ``svqvae_quality``, one in ten held out. Adam's step size grows with
the square root of the batch (Malladi et al. 2022, arXiv:2205.10287). Writes a table to
``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from sigilla.models.svqvae import SVQVAE, SVQVAEConfig
from sigilla.train import fit

sys.path.insert(0, str(Path(__file__).parent))
from svqvae_quality import Split, simulation

OUT = Path(__file__).parent / "results/large_batch.md"
BATCHES = (64, 256, 1024, 4096)


def one(split: Split, batch: int, seed: int) -> tuple[float, float, float]:
    """Held-out accuracy, seconds of an epoch, epochs."""
    default = SVQVAEConfig()
    rate = default.learning_rate * (batch / default.batch_size) ** 0.5
    model = SVQVAE(
        SVQVAEConfig(batch_size=batch, learning_rate=rate),
        n_features=split.x.shape[1],
        classes=[str(k) for k in range(split.n_classes)],
        seed=seed,
    )
    history = fit(model, split.x, split.label, random_state=seed, progress=False)
    nearest = model.embed(torch.as_tensor(split.new_x)).nearest.numpy()
    seconds = np.diff(history["seconds"])
    return float((nearest == split.new_label).mean()), float(np.median(seconds)), 1 + len(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {batch: [] for batch in BATCHES}
    for seed in range(options.seeds):  # in turns, so that a slow minute hits all alike
        split = simulation(seed)
        for batch, runs in found.items():
            runs.append(one(split, batch, seed))
    rows = []
    for batch, runs in found.items():
        accuracy, seconds, epochs = np.transpose(runs)
        faster = np.transpose(found[BATCHES[0]])[1] / seconds
        rows.append(
            f"| {batch:,} | {accuracy.mean():.3f} ({accuracy.min():.3f} to {accuracy.max():.3f}) "
            f"| {np.median(epochs):.0f} | {np.median(seconds):.2f} | {np.median(faster):.1f} |"
        )
    intro = (
        f"The default S-VQ-VAE on {len(split.x):,} simulated signatures x {split.x.shape[1]} "
        f"genes of 75 classes, one in ten held out; {options.seeds} seeds, {options.threads} "
        "thread(s). The step size is the default's times the square root of batch / 64."
    )
    head = "| batch | held-out accuracy | epochs | seconds of an epoch | times faster |"
    OUT.write_text(
        "\n".join(["## Large batches", "", intro, "", head, "|---" * 5 + "|", *rows, ""])
    )
    print("\n".join([head, *rows]))


if __name__ == "__main__":
    main()
