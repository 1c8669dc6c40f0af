"""Training from disk beside training from memory: signatures per second, in one run.

    sigilla bench training_from_disk [--signatures 60000] [--repeats 5] [--threads 2] [--quick]

The default S-VQ-VAE at batch 256 on noise, from an array, a backed h5ad, a backed GCTX, a zarr
array and the same through dask, which take turns. Files are made in a temporary folder and
are warm. Memory is the peak of a fresh process during a fit of one epoch, its start with it, above
what it held before. Files are of three sizes, each of more than the rows that the start draws
(68,618). Rows for validation, a tenth of all, stay in memory up to as many, and are left out here:
they would be more with each size.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
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

sys.path.insert(0, str(Path(__file__).parent))
from _memory import forget_peak, resident
from _spread import spread

RESULTS = Path(__file__).parent / "results"
N_GENES, N_CLASSES = 978, 75
SIZES = [100_000, 200_000, 400_000]
MIB = 2**20


def sources(x: np.ndarray, folder: Path) -> dict[str, Any]:
    """The same signatures in memory and in three kinds of files, one of them read in two ways."""
    write(x, folder)
    return {"memory": x} | left_on_disk(folder)


def write(x: np.ndarray, folder: Path) -> None:
    adata = ad.AnnData(x)
    adata.write_h5ad(folder / "x.h5ad")
    sg.io.write_gctx(adata, folder / "x.gctx")
    with warnings.catch_warnings():  # of zarr's next format
        warnings.simplefilter("ignore")
        adata.write_zarr(folder / "x.zarr")


def left_on_disk(folder: Path) -> dict[str, Any]:
    """The matrices of the files, as a fit from disk takes them."""
    matrix = zarr.open(folder / "x.zarr", mode="r")["X"]
    on_disk = {
        "h5ad": ad.read_h5ad(folder / "x.h5ad", backed="r"),
        "GCTX": sg.io.read_gctx(folder / "x.gctx", backed=True),
        "zarr": ad.AnnData(matrix),
        "zarr, dask": ad.AnnData(da.from_zarr(matrix)),
    }
    return {name: read_observations(a, from_disk=True).x for name, a in on_disk.items()}


def noise(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Signatures of nothing, and labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, N_GENES), dtype=np.float32)
    return x, rng.integers(0, N_CLASSES, n)


def made(epochs: int) -> SVQVAE:
    """The default model at batch 256, without validation."""
    config = SVQVAE.Config(max_epochs=epochs, validation_fraction=0.0, batch_size=256)
    return SVQVAE(config, n_features=N_GENES, classes=[str(k) for k in range(N_CLASSES)])


def peak_mib(name: str, folder: Path, label: np.ndarray) -> float:
    """Peak resident memory of a fit of one epoch, above what this process held before."""
    fit(made(epochs=1), *noise(1000), progress=False, device="cpu")  # loads what it needs
    source = left_on_disk(folder)[name]
    forget_peak()
    before = resident("VmRSS")
    fit(made(epochs=1), source, label, progress=False, device="cpu")
    return (resident("VmHWM") - before) / MIB


def memory_table(sizes: list[int]) -> list[str]:
    """Peaks by kind of file and number of signatures."""
    found: dict[str, list[float]] = {}
    fresh = multiprocessing.get_context("spawn")
    for n in sizes:
        x, label = noise(n)
        with tempfile.TemporaryDirectory() as folder:
            write(x, Path(folder))
            del x
            for name in left_on_disk(Path(folder)):
                with fresh.Pool(1) as pool:
                    peak = pool.apply(peak_mib, (name, Path(folder), label))
                found.setdefault(name, []).append(peak)
                print(f"{n:,} from {name}: {peak:,.0f} MiB", flush=True)
    heads = [f"{n:,} ({4 * n * N_GENES / MIB:,.0f} MiB)" for n in sizes]
    lines = [
        "",
        "MiB at the peak of a fit of one epoch without validation, above what the process held:",
        "",
        f"| from | {' | '.join(heads)} |",
    ]
    lines.append("|---" * (len(sizes) + 1) + "|")
    return lines + [
        f"| {name} | {' | '.join(f'{peak:,.0f}' for peak in peaks)} |"
        for name, peaks in found.items()
    ]


def rate(source: Any, label: np.ndarray) -> float:
    """Signatures per second of the second epoch, without the start in closed form."""
    model = made(epochs=2)
    model.prepare = lambda *_: None
    seconds = fit(model, source, label, progress=False, device="cpu")["seconds"]
    return len(label) / float(seconds[1] - seconds[0])


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
    x, label = noise(n)
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
    lines += memory_table([2000, 4000] if options.quick else SIZES)
    print("\n".join(lines))
    if not options.quick:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
