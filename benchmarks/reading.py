"""Reading GCTX: sigilla beside cmapPy, in one run.

    python benchmarks/reading.py [--wide 10000] [--narrow 60000] [--repeats 5] [--out table.md]

Makes its files in a temporary folder. Times are of warm reads in two long-lived processes that
take turns; peak memory is that of a fresh process above what its imports took. Prints a table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

WIDE_GENES, NARROW_GENES = 12_328, 978
MIB = 2**20


@dataclass(frozen=True)
class Case:
    """One read: which file, which genes, which signatures."""

    name: str
    path: str
    rid: tuple[str, ...] | None = None
    cid: tuple[str, ...] | None = None
    metadata_only: bool = False


def read(tool: str, case: Case) -> Any:
    rid, cid = (None if ids is None else list(ids) for ids in (case.rid, case.cid))
    if tool == "cmapPy":
        from sigilla.io import _cmappy

        if case.metadata_only:
            return [_cmappy.parse(case.path, **{f"{a}_meta_only": True}) for a in ("row", "col")]
        return _cmappy.parse(case.path, rid=rid, cid=cid)
    import sigilla as sg

    return sg.io.read_gctx(case.path, rid=rid, cid=cid, backed=case.metadata_only)


def seconds(tool: str, case: Case) -> float:
    begin = time.perf_counter()
    result = read(tool, case)
    took = time.perf_counter() - begin
    del result
    return took


def peak_mib(tool: str, case: Case, small: Case) -> float:
    """Highest resident memory during the read, above that just before it."""
    read(tool, small)  # whatever is loaded on first use
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        read(tool, case)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    before = _status("VmRSS")
    result = read(tool, case)
    after = _status("VmHWM")
    del result
    return (after - before) / 1024


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def make_file(path: Path, n: int, genes: int, compression: int | None) -> str:
    """A level-5 look-alike: sixteen metadata columns, values with four decimals."""
    from sigilla.io import write_gctx

    rng = np.random.default_rng(0)
    x = np.empty((n, genes), dtype=np.float32)
    for begin in range(0, n, 1000):
        block = x[begin : begin + 1000]
        block[...] = np.round(rng.standard_normal(block.shape, dtype=np.float32), 4)
    obs = pd.DataFrame(index=[f"CPC{i % 300:03d}_A375_24H:BRD-K{i:08d}:10" for i in range(n)])
    for j, count in enumerate([10, 70, 500, 2000, 20_000]):
        names = np.array([f"value_{j}_{i}" for i in range(count)])
        for copy in range(3):
            obs[f"text_{j}_{copy}"] = names[rng.integers(count, size=n)]
    obs["quality"] = rng.random(n)
    var = pd.DataFrame({"pr_gene_symbol": [f"G{i}" for i in range(genes)]})
    var.index = [str(1000 + i) for i in range(genes)]
    write_gctx(ad.AnnData(x, obs=obs, var=var), path, compression=compression)
    return str(path)


def cases(folder: Path, wide: int, narrow: int) -> list[Case]:
    files = {
        f"{WIDE_GENES:,} x {wide:,} contiguous": (wide, WIDE_GENES, None),
        f"{WIDE_GENES:,} x {wide:,} gzip-1": (wide, WIDE_GENES, 1),
        f"{NARROW_GENES:,} x {narrow:,} contiguous": (narrow, NARROW_GENES, None),
    }
    found = []
    for number, (name, (n, genes, compression)) in enumerate(files.items()):
        path = make_file(folder / f"{number}.gctx", n, genes, compression)
        rng = np.random.default_rng(1)
        ids = [f"CPC{i % 300:03d}_A375_24H:BRD-K{i:08d}:10" for i in range(n)]
        some = np.sort(rng.permutation(genes)[: max(1, genes // 10 if genes < 2000 else 978)])
        rid = tuple(str(1000 + i) for i in some)
        cid = tuple(ids[i] for i in np.sort(rng.permutation(n)[: max(1, n // 10)]))
        few = "landmarks" if genes > 2000 else "tenth of genes"
        found += [
            Case(f"{name}: all", path),
            Case(f"{name}: {few}", path, rid=rid),
            Case(f"{name}: tenth of signatures", path, cid=cid),
            Case(f"{name}: both", path, rid=rid, cid=cid),
            Case(f"{name}: metadata only", path, metadata_only=True),
        ]
    return found


def measure(case: Case, small: Case, workers: dict[str, Any], repeats: int) -> str:
    context = multiprocessing.get_context("spawn")
    times: dict[str, list[float]] = {tool: [] for tool in workers}
    for turn in range(repeats + 1):
        for tool, pool in workers.items():
            took = pool.apply(seconds, (tool, case))
            if turn:  # the first warms the page cache
                times[tool].append(took)
    peaks = {}
    for tool in workers:
        with context.Pool(1) as fresh:
            peaks[tool] = fresh.apply(peak_mib, (tool, case, small))
    ratios = [b / a for a, b in zip(times["sigilla"], times["cmapPy"], strict=True)]
    cells = [case.name]
    cells += [spread(times[tool], "{:.3f}") for tool in ("sigilla", "cmapPy")]
    cells += [spread(ratios, "{:.1f}")]
    cells += [f"{peaks[tool]:.0f}" for tool in ("sigilla", "cmapPy")]
    return "| " + " | ".join([*cells, f"{result_mib(case):.0f}"]) + " |"


def spread(values: list[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return " / ".join(form.format(v) for v in (low, middle, high))


def result_mib(case: Case) -> float:
    if case.metadata_only:
        return 0.0
    import h5py

    with h5py.File(case.path) as file:
        n, p = file["0/DATA/0/matrix"].shape
    n, p = (size if ids is None else len(ids) for size, ids in ((n, case.cid), (p, case.rid)))
    return n * p * 4 / MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--wide", type=int, default=10_000, help="signatures of 12,328 genes")
    parser.add_argument("--narrow", type=int, default=60_000, help="signatures of 978 genes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    lines = [
        f"{os.cpu_count()} cores; seconds and ratio as min / median / max of {options.repeats}",
        "",
        (
            "| read | sigilla s | cmapPy s | times faster | sigilla peak MiB | cmapPy peak MiB "
            "| result MiB |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with (
        tempfile.TemporaryDirectory() as name,
        context.Pool(1) as ours,
        context.Pool(1) as theirs,
    ):
        folder = Path(name)
        small = Case("small", make_file(folder / "small.gctx", 50, 20, None))
        for case in cases(folder, options.wide, options.narrow):
            if options.only in case.name:
                workers = {"sigilla": ours, "cmapPy": theirs}
                lines.append(measure(case, small, workers, options.repeats))
                print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
