"""MNIST with the default configuration, beside the published S-VQ-VAE's .826.

    python benchmarks/mnist.py FOLDER      # holds the four idx files, gzipped

Images enter as 784 numbers; nothing is tuned. The table goes to ``benchmarks/results/mnist.md``.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch

from sigilla.models import SVQVAE
from sigilla.models.svqvae import SVQVAEConfig
from sigilla.train import fit

RESULTS = Path(__file__).parent / "results"
PUBLISHED = {"train": 0.814, "test": 0.826}


def read(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n x 784, 0..1) and digits."""
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
    return x, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def accuracy(model: SVQVAE, x: np.ndarray, digit: np.ndarray) -> float:
    return float((model.embed(torch.from_numpy(x)).nearest.numpy() == digit).mean())


def run(config: SVQVAEConfig, folder: Path) -> tuple[float, float, int, float]:
    x, digit = read(folder, "train")
    model = SVQVAE(config, n_features=784, classes=[str(d) for d in range(10)])
    start = time.perf_counter()
    history = fit(model, x, digit, progress=False)
    seconds = time.perf_counter() - start
    scores = (accuracy(model, *pair) for pair in ((x, digit), read(folder, "t10k")))
    return (*scores, len(history.get("loss", ())), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = [
        "## S-VQ-VAE on MNIST",
        "",
        f"Nearest-code accuracy; seconds on {options.threads} threads.",
        "",
        "| method | train | test | epochs | seconds |",
        "|---|---|---|---|---|",
        f"| published (convolutions) | {PUBLISHED['train']} | {PUBLISHED['test']} | 25 | |",
    ]
    variants = {
        "start only, no training": SVQVAEConfig(max_epochs=0),
        "sigilla, default": SVQVAEConfig(),
    }
    for name, config in variants.items():
        train, test, epochs, seconds = run(config, options.folder)
        lines.append(f"| {name} | {train:.4f} | {test:.4f} | {epochs} | {seconds:.0f} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "mnist.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
