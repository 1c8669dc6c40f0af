"""Seconds and memory as data grow: 10^4 to 10^6 signatures, 10^3 to 10^5 cells.

    sigilla bench growth [--signatures 10000 100000 1000000] [--cells 1000 10000 100000]
                         [--only IF-PCA] [--repeats 5] [--out TABLE] [--quick]

Every stage at every size runs in processes of its own. The first shows how far its peak memory is
above what its imports and its input took; the others, sizes in turns, the seconds of the work, in
memory that they took before and kept. The exponent is that of the seconds of a round between the
two largest sizes: 1 is proportional growth. Writes ``benchmarks/results/growth.md`` if all stages
ran at these sizes, otherwise what ``--out`` names.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from _memory import forget_peak, keep_at_hand, resident
from _spread import spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

OUT = Path(__file__).parent / "results/growth.md"
N_LANDMARKS, N_CLASSES, N_GENES = 978, 75, 20_000
EXPRESSED = 0.1  # share of a cell's genes that are not 0
SMALL = 500
SUFFIX = {"signatures": "gctx", "cells": "npz"}
STAGES = {
    "read GCTX": "signatures",
    "S-VQ-VAE: start and one epoch": "signatures",
    "nearest codes of a query": "signatures",
    "influential features, sparse": "cells",
    "IF-PCA, 8 clusters": "cells",
}


# -- data, made in blocks ----------------------------------------------------------------------


def write_signatures(path: Path, n: int) -> None:
    """A GCTX file of 75 classes, written block by block."""
    import h5py

    rng = np.random.default_rng(0)
    classes = rng.normal(size=(N_CLASSES, N_LANDMARKS)).astype(np.float32)
    label = rng.integers(N_CLASSES, size=n)
    with h5py.File(path, "w") as file:
        file.attrs["version"] = "GCTX1.0"
        matrix = file.create_dataset("0/DATA/0/matrix", (n, N_LANDMARKS), "float32")
        for start in range(0, n, 50_000):
            rows = label[start : start + 50_000]
            noise = rng.standard_normal((len(rows), N_LANDMARKS), dtype=np.float32)
            matrix[start : start + len(rows)] = classes[rows] + noise
        meta = {
            "COL/id": [f"SIG{i:08d}" for i in range(n)],
            "COL/pcl": [f"class {k}" for k in label],
            "ROW/id": [str(g) for g in range(N_LANDMARKS)],
        }
        for name, values in meta.items():
            file.create_dataset(f"0/META/{name}", data=np.array(values, dtype="S"))


def write_cells(path: Path, n: int) -> None:
    """Sparse log counts of eight types that differ in 200 genes."""
    from scipy import sparse

    rng = np.random.default_rng(0)
    kind = rng.integers(8, size=n)
    per_cell = int(EXPRESSED * N_GENES)
    raised = np.exp(rng.normal(0, 1, size=(8, 200))).astype(np.float32)
    blocks = []
    for start in range(0, n, 10_000):
        rows = kind[start : start + 10_000]
        # One expressed gene in each bin of ten, so that none comes twice.
        column = rng.integers(N_GENES // per_cell, size=(len(rows), per_cell), dtype=np.int32)
        column += np.arange(0, N_GENES, N_GENES // per_cell, dtype=np.int32)
        value = rng.gamma(2, 0.5, size=column.shape).astype(np.float32)
        marker = column < 200
        value[marker] *= raised[np.repeat(rows[:, None], per_cell, axis=1)[marker], column[marker]]
        pointer = np.arange(0, column.size + 1, per_cell)
        blocks.append(
            sparse.csr_matrix((value.ravel(), column.ravel(), pointer), (len(rows), N_GENES))
        )
    sparse.save_npz(path, sparse.vstack(blocks, format="csr"), compressed=False)


# -- stages: what is loaded before the clock starts, and what is timed -------------------------


def signatures(path: Path) -> AnnData:
    import sigilla as sg

    return sg.io.read_gctx(path)


def fitted(n: int) -> AnnData:
    """Something to map onto: a small fit with the same genes."""
    import sigilla as sg

    with tempfile.TemporaryDirectory() as folder:
        write_signatures(Path(folder) / "small.gctx", n)
        adata = signatures(Path(folder) / "small.gctx")
    sg.tl.svqvae(adata, "pcl", max_epochs=1, progress=False)
    return adata


def cells(path: Path) -> AnnData:
    import anndata as ad
    from scipy import sparse

    return ad.AnnData(sparse.load_npz(path))


def prepare(stage: str, path: Path) -> Callable[[], Any]:
    """Load what the stage starts from; what it returns is timed."""
    import sigilla as sg

    if stage == "read GCTX":
        return lambda: sg.io.read_gctx(path)
    if stage.startswith("S-VQ-VAE"):
        adata = signatures(path)
        return lambda: sg.tl.svqvae(adata, "pcl", max_epochs=1, progress=False)
    if stage.startswith("nearest"):
        adata, reference = signatures(path), fitted(5_000)
        return lambda: sg.tl.map_query(adata, reference)
    adata = cells(path)
    if stage.startswith("influential"):
        return lambda: sg.pp.influential_features(adata)
    return lambda: sg.tl.ifpca(adata, 8, n_init=10)


def run_stage(what: str, stage: str, small: Path, path: Path) -> float:
    """Called in a fresh process; the small data take what only the first call costs."""
    prepare(stage, small)()
    work = prepare(stage, path)
    if what == "seconds":
        keep_at_hand(2 * path.stat().st_size)
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    before = resident("VmRSS")
    forget_peak()  # it is of the input
    work()
    return (resident("VmHWM") - before) / 2**20


# -- the table ---------------------------------------------------------------------------------


@dataclass
class Runs:
    """Of one stage at one size."""

    mib: float  # the process's peak above its imports and its input
    input_mib: float
    seconds: list[float]  # one for each round


def measure(
    stages: dict[str, str], sizes: dict[str, list[int]], repeats: int, folder: Path
) -> dict[str, dict[int, Runs]]:
    found: dict[str, dict[int, Runs]] = {}
    for kind, write in (("signatures", write_signatures), ("cells", write_cells)):
        if kind not in stages.values():
            continue
        paths = {n: folder / f"{n}.{SUFFIX[kind]}" for n in (SMALL, *sizes[kind])}
        for n, path in paths.items():
            write(path, n)
        for stage in (s for s, k in stages.items() if k == kind):
            found[stage] = {
                n: Runs(
                    in_new_process("mib", stage, paths[SMALL], paths[n]),
                    paths[n].stat().st_size / 2**20,
                    [],
                )
                for n in sizes[kind]
            }
            for _ in range(repeats):
                for n, runs in found[stage].items():
                    runs.seconds.append(in_new_process("seconds", stage, paths[SMALL], paths[n]))
                    print(f"{stage:32} {n:>9,}  {runs.seconds[-1]:.2f} s", flush=True)
        for path in paths.values():
            path.unlink()
    return found


def in_new_process(what: str, stage: str, small: Path, path: Path) -> float:
    command = [sys.executable, __file__, "--measure", what, stage, str(small), str(path)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(answer.stdout.splitlines()[-1])


def exponents(by_size: dict[int, Runs]) -> list[float]:
    """Of each round, between the two largest sizes."""
    small, large = sorted(by_size)[-2:]
    return [
        math.log(last / first) / math.log(large / small)
        for first, last in zip(by_size[small].seconds, by_size[large].seconds, strict=True)
    ]


def table(found: dict[str, dict[int, Runs]], load: float) -> str:
    lines = [
        "# Growth",
        "",
        (
            f"`sigilla bench growth`: {N_LANDMARKS} landmark genes and {N_CLASSES} classes, or "
            f"{N_GENES:,} genes of which {EXPRESSED:.0%} are expressed in a cell. Seconds: least / "
            "median / greatest of the rounds, in which sizes take turns; the process took twice "
            "the file's size of memory before and kept it. MiB: another process's peak above its "
            "imports and the input. Exponent: of a round's seconds, between the two largest sizes. "
            f"{os.cpu_count()} cores, load {load:.1f} at the start."
        ),
        "",
        "| stage | n | seconds | MiB | file, MiB | exponent |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for stage, by_size in found.items():
        for n, runs in by_size.items():
            last = n == max(by_size) and len(by_size) > 1
            lines.append(
                f"| {stage} | {n:,} | {spread(runs.seconds)} | {runs.mib:,.0f} | "
                f"{runs.input_mib:,.0f} | {spread(exponents(by_size)) if last else ''} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    whole = {"signatures": [10**4, 10**5, 10**6], "cells": [10**3, 10**4, 10**5]}
    for kind, sizes in whole.items():
        parser.add_argument(f"--{kind}", type=int, nargs="+", default=sizes)
    parser.add_argument("--only", default="", help="run the stages whose name contains this")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where the table goes")
    parser.add_argument("--quick", action="store_true", help="two small sizes")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        what, stage, small, path = args.measure
        print(run_stage(what, stage, Path(small), Path(path)))
        return
    sizes = {"signatures": args.signatures, "cells": args.cells}
    if args.quick:
        sizes = {"signatures": [2_000, 4_000], "cells": [1_000, 2_000]}
    stages = {stage: kind for stage, kind in STAGES.items() if args.only in stage}
    if not stages:
        parser.error(f"--only {args.only!r} is in no stage: {', '.join(STAGES)}")
    out = args.out or (OUT if stages == STAGES and sizes == whole else None)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        print(text := table(measure(stages, sizes, args.repeats, Path(folder)), load))
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
