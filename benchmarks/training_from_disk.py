"""Training from disk beside training from memory: signatures per second, in one run.

    sigilla bench training_from_disk [--signatures 60000] [--repeats 5] [--threads 2] [--quick]

The default S-VQ-VAE at batch 256 on noise, from an array, a backed h5ad, a backed GCTX, a zarr
array and the same through dask, which take turns. Files are made in a temporary folder and
are warm.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import torch
import zarr

import sigilla as sg
from sigilla.batches import read_observations
from sigilla.models import SVQVAE
from sigilla.train import fit

RESULTS = Path(__file__).parent / "results"
N_GENES, N_CLASSES = 978, 75


def sources(x: np.ndarray, folder: Path) -> dict[str, Any]:
    """The same signatures in memory and in three kinds of files, one of them read in two ways."""
    adata = ad.AnnData(x)
    adata.write_h5ad(folder / "x.h5ad")
    sg.io.write_gctx(adata, folder / "x.gctx")
    with warnings.catch_warnings():  # of zarr's next format
        warnings.simplefilter("ignore")
        adata.write_zarr(folder / "x.zarr")
    matrix = zarr.open(folder / "x.zarr", mode="r")["X"]
    on_disk = {
        "h5ad": ad.read_h5ad(folder / "x.h5ad", backed="r"),
        "GCTX": sg.io.read_gctx(folder / "x.gctx", backed=True),
        "zarr": ad.AnnData(matrix),
        "zarr, dask": ad.AnnData(da.from_zarr(matrix)),
    }
    left = {name: read_observations(a, from_disk=True).x for name, a in on_disk.items()}
    return {"memory": x} | left


def rate(source: Any, label: np.ndarray) -> float:
    """Signatures per second of the second epoch, without the start in closed form."""
    config = SVQVAE.Config(max_epochs=2, validation_fraction=0.0, batch_size=256)
    classes = [str(k) for k in range(N_CLASSES)]
    model = SVQVAE(config, n_features=N_GENES, classes=classes)
    model.prepare = lambda *_: None
    seconds = fit(model, source, label, progress=False, device="cpu")["seconds"]
    return len(label) / float(seconds[1] - seconds[0])


def spread(values: list[float], form: str) -> str:
    three = (min(values), statistics.median(values), max(values))
    return " / ".join(f"{v:{form}}" for v in three)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signatures", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="10,000 signatures, 3 repeats")
    parser.add_argument("--out", type=Path, default=RESULTS / "training_from_disk.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    n, repeats = (10_000, 3) if options.quick else (options.signatures, options.repeats)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, N_GENES), dtype=np.float32)
    label = rng.integers(0, N_CLASSES, n)
    with tempfile.TemporaryDirectory() as folder:
        racing = sources(x, Path(folder))
        rates: dict[str, list[float]] = {name: [] for name in racing}
        for _ in range(repeats):
            for name, source in racing.items():
                rates[name].append(rate(source, label))
    intro = (
        f"{n:,} signatures x {N_GENES} genes, warm files, default S-VQ-VAE at batch 256, "
        f"{options.threads} threads, {repeats} rounds in turns: least / median / greatest."
    )
    lines = ["## Training from disk", "", intro, "", "| from | signatures / s | of memory's rate |"]
    lines.append("|---|---|---|")
    for name, values in rates.items():
        of_memory = [a / b for a, b in zip(values, rates["memory"], strict=True)]
        lines.append(f"| {name} | {spread(values, ',.0f')} | {spread(of_memory, '.2f')} |")
    print("\n".join(lines))
    if not options.quick:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
