"""The influential-feature step beside the published procedure, numpy, scipy and one sort.

    sigilla bench influential [--only published|cells] [--repeats 5] [--quick] [--file lung1.h5ad]

``published`` re-implements the feature selection of Chen, Jin & Ke (2023) from its description: a
null of 50 draws per gene, one at a time, then gene by gene. ``cells`` scores a sparse matrix of log
counts beside numpy and scipy on dense genes, and beside sorting the same values and nothing else.
The peers take turns with sigilla. Of their work that is the same over and over a part is timed and
scaled up, as the table says. Writes ``benchmarks/results/influential.md``, or if not all is run
what ``--out`` names; the cells take 5 GB of the temporary folder and 10 GiB of memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
from scipy import sparse, stats
from scipy.stats import norm

from sigilla.datasets import simulate_rare_weak
from sigilla.pp._influential import score_and_select
from sigilla.pp._ks import workers

sys.path.insert(0, str(Path(__file__).parent))
import _spread
from _memory import forget_peak, have_at_hand, resident

if TYPE_CHECKING:
    from collections.abc import Callable

OUT = Path(__file__).parent / "results/influential.md"
SAMPLES, GENES = 181, 12_533
DENSITY = 0.31
DRAWS = 50  # of the published null, per gene
CALLS = 5  # of sigilla in each repeat of the first part
DENSE_GENES, BLOCK_GENES = 256, 64  # that numpy scores; of which at a time


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


# ---------------------------------------------------------------- the published procedure


def published_score(x: np.ndarray) -> float:
    n = len(x)
    z = (x - np.mean(x)) / np.std(x)
    cdf = norm.cdf(np.sort(z))
    ranks = np.arange(1, n + 1) / n
    return np.sqrt(n) * max(np.max(np.abs(ranks - cdf)), np.max(np.abs(ranks - 1 / n - cdf)))


def published_null(n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([published_score(rng.standard_normal(n)) for _ in range(draws)])


def published_selection(X: np.ndarray, null: np.ndarray) -> int:
    n, p = X.shape
    scores = np.array([published_score(X[:, j]) for j in range(p)])
    adjusted = (scores - scores.mean()) / scores.std() * null.std() + null.mean()
    pvalues = np.sort([np.mean(null > score) for score in adjusted])
    u = np.arange(1, p + 1) / (p + 1)
    hc = np.sqrt(p) * (u - pvalues) / np.sqrt(np.maximum(np.sqrt(n) * (u - pvalues), 0) + u)
    first = np.flatnonzero(pvalues > np.log(p) / p)[0]
    searched = hc[first : round(p / 2)]
    return first + np.flatnonzero(searched == searched.max())[-1] + 1


def against_published(args: argparse.Namespace) -> dict[str, Any]:
    """Each repeat: a share of the null's draws, everything else of the published, then sigilla."""
    simulated = simulate_rare_weak(n_obs=SAMPLES, n_vars=GENES, strength=2)
    X = (ad.read_h5ad(args.file) if args.file else simulated).X
    n, p = X.shape
    rng = np.random.default_rng(0)
    drawn = max(1, round(args.share * DRAWS * p))
    score_and_select(X)  # the first call reads the table
    theirs, ours = [], []
    for _ in range(args.repeats):
        null_seconds, null = timed(lambda: published_null(n, drawn, rng))
        null = np.resize(null, DRAWS * p)  # repeated: comparing with it takes its whole time
        rest, kept = timed(lambda null=null: published_selection(X.astype(np.float64), null))
        theirs.append(null_seconds * len(null) / drawn + rest)
        calls = [timed(lambda: score_and_select(X, n_jobs=args.jobs)) for _ in range(CALLS)]
        ours.append(statistics.median(seconds for seconds, _ in calls))
        selection = calls[0][1]
        print(f"published {theirs[-1]:.1f} s, sigilla {ours[-1]:.4f} s", flush=True)
    found = {"shape": (n, p), "published": theirs, "sigilla": ours}
    return found | {"kept": (int(kept), int(selection.selected.sum()))}


# ------------------------------------------------------------------- sparse single cells


def write_cells(folder: Path, cells: int, genes: int) -> None:
    """Log counts by samples, gene by gene denser or sparser, in three files of plain numbers."""
    rng = np.random.default_rng(0)
    expressed = rng.beta(1.0, (1 - DENSITY) / DENSITY, size=genes).astype(np.float32)
    counts = [np.zeros(1, np.int64)]
    with (folder / "data").open("wb") as data, (folder / "indices").open("wb") as indices:
        for start in range(0, cells, 1000):
            rows = min(1000, cells - start)
            mask = rng.random((rows, genes), dtype=np.float32) < expressed
            column = np.nonzero(mask)[1].astype(np.int32)
            column.tofile(indices)
            np.log1p(rng.standard_exponential(len(column), dtype=np.float32)).tofile(data)
            counts.append(mask.sum(axis=1))
    np.cumsum(np.concatenate(counts)).tofile(folder / "indptr")


def read_cells(folder: Path, genes: int) -> sparse.csr_matrix:
    data = np.fromfile(folder / "data", np.float32)
    indices = np.fromfile(folder / "indices", np.int32)
    indptr = np.fromfile(folder / "indptr", np.int64)
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)
    X = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, genes))
    X.has_canonical_format = True
    return X


def dense_scores(X: sparse.csc_matrix) -> np.ndarray:
    """By plain numpy on dense blocks of genes."""
    n = X.shape[0]
    ranks = np.arange(1, n + 1)[:, None] / n
    scores = []
    for start in range(0, X.shape[1], BLOCK_GENES):
        block = X[:, start : start + BLOCK_GENES].toarray().astype(np.float64)
        cdf = norm.cdf(np.sort((block - block.mean(axis=0)) / block.std(axis=0), axis=0))
        above = np.abs(ranks - cdf).max(axis=0)
        scores.append(np.sqrt(n) * np.maximum(above, np.abs(ranks - 1 / n - cdf).max(axis=0)))
    return np.concatenate(scores)


def scipy_scores(X: sparse.csc_matrix) -> np.ndarray:
    """By scipy's test, gene by gene."""
    scores = []
    for j in range(X.shape[1]):
        gene = X[:, [j]].toarray().ravel().astype(np.float64)
        z = (gene - gene.mean()) / gene.std()
        scores.append(np.sqrt(len(z)) * stats.kstest(z, "norm").statistic)
    return np.array(scores)


def sort_genes(values: np.ndarray, sizes: np.ndarray, threads: int) -> None:
    """Sort pieces of the sizes that genes have, in place: what sorting genes to score them takes.

    Which values a piece holds does not matter, for those of all genes are drawn alike.
    """
    ends = np.cumsum(sizes)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda end, size: values[end - size : end].sort(), ends, sizes))


def one_repeat(args: argparse.Namespace) -> dict[str, Any]:
    """What a fresh process does; the values are sorted last, for that destroys them."""
    empty = resident("VmRSS")
    X = read_cells(args.measure, args.genes)
    have_at_hand(X.data.nbytes)
    forget_peak()
    cpu = time.process_time()
    ours, selection = timed(lambda: score_and_select(X, n_jobs=args.jobs))
    cpu, peak = time.process_time() - cpu, resident("VmHWM") - empty
    some = np.linspace(0, args.genes - 1, min(DENSE_GENES, args.genes)).astype(int)
    sample = X[:, some].tocsc()
    have_at_hand(X.data.nbytes)
    by_numpy, expected = timed(lambda: dense_scores(sample))
    few = slice(None, None, 4)
    have_at_hand(X.data.nbytes)
    by_scipy, of_scipy = timed(lambda: scipy_scores(sample[:, few]))
    sizes = np.bincount(X.indices, minlength=args.genes)
    sort, _ = timed(lambda: sort_genes(X.data, sizes, workers(args.jobs)))
    apart = np.abs(selection.scores[some] - expected), np.abs(expected[few] - of_scipy)
    return {
        "values": X.nnz,
        "sigilla": ours,
        "cpu": cpu,
        "numpy": by_numpy * args.genes / len(some),
        "scipy": by_scipy * args.genes / len(of_scipy),
        "sort": sort,
        "genes": (len(some), len(of_scipy)),
        "apart": float(max(np.nanmax(each) for each in apart)),
        "input": X.data.nbytes + X.indices.nbytes + X.indptr.nbytes,
        "peak": peak,
    }


def sparse_cells(args: argparse.Namespace) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        write_cells(Path(folder), args.cells, args.genes)
        command = [sys.executable, __file__, "--measure", folder]
        command += ["--genes", str(args.genes), "--jobs", str(workers(args.jobs))]
        small = sparse.random(5000, 10, 0.3, format="csr", dtype=np.float32, rng=0)
        score_and_select(small)  # compiles what the processes load
        runs = []
        for _ in range(args.repeats):
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(answer.stdout))
            print(runs[-1], flush=True)
    return runs


# ---------------------------------------------------------------------------- the tables


def spread(values: list[float]) -> str:
    """Least, median and greatest, to three digits of the greatest."""
    digits = min(max(2 - math.floor(math.log10(max(values))), 0), 4)
    return _spread.spread(values, f",.{digits}f")


def row(name: str, seconds: list[float], ours: list[float], *, of: str, beforehand: str) -> str:
    times = [a / b for a, b in zip(seconds, ours, strict=True)]
    return f"| {name} | {spread(seconds)} | {spread(times)} | {of} | {beforehand} |"


HEAD = ["", "| what | seconds | times sigilla | timed | beforehand, s |", "|---|--:|--:|---|--:|"]


def published_table(found: dict[str, Any], args: argparse.Namespace) -> list[str]:
    (n, p), ours, (theirs_kept, ours_kept) = found["shape"], found["sigilla"], found["kept"]
    where = args.file.stem if args.file else "simulated"
    part = f"{args.share:.1%} of the null's {DRAWS * p:,} draws, scaled up; all else whole"
    return [
        f"The whole step on {p:,} genes x {n} samples ({where}); sigilla has its null as a table.",
        *HEAD,
        row("published", found["published"], ours, of=part, beforehand="136"),
        row("sigilla", ours, ours, of=f"whole, median of {CALLS} calls", beforehand="0.056"),
        "",
        f"Genes kept: {theirs_kept:,} by the published, {ours_kept:,} by sigilla.",
    ]


def cells_table(runs: list[dict[str, Any]], args: argparse.Namespace) -> list[str]:
    def column(name: str) -> list[float]:
        return [run[name] for run in runs]

    (some, few), ours = runs[0]["genes"], column("sigilla")
    over_input = [run["peak"] / run["input"] for run in runs]
    scaled = "of {} genes, evenly taken, scaled up; one thread".format
    values, gibibytes = runs[0]["values"], runs[0]["input"] / 2**30
    title = (
        f"Scores of {args.genes:,} genes x {args.cells:,} cells by rows (CSR), {values / 1e6:,.0f}"
        f" million values ({values / args.genes / args.cells:.0%}); repeats in fresh processes."
        " Before each, as much memory as the values take is touched and let go of."
    )
    notes = (
        f"sigilla takes {spread(column('cpu'))} s of processor time; at its peak"
        f" {spread(over_input)} times the memory of its input ({gibibytes:.1f} GiB), the input"
        f" with it. The scores of all three differ by {max(column('apart')):.0e} at most."
    )
    return [
        title,
        *HEAD,
        row("scipy.stats.kstest", column("scipy"), ours, of=scaled(few), beforehand="300"),
        row("numpy, dense", column("numpy"), ours, of=scaled(some), beforehand="85"),
        row("sigilla, sparse, exact", ours, ours, of="whole, with selection", beforehand="12"),
        row("one sort of the values", column("sort"), ours, of="whole", beforehand="9"),
        "",
        notes,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("published", "cells"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small, and twice")
    parser.add_argument("--jobs", type=int, help="threads of sigilla and the sort [all cores]")
    parser.add_argument("--file", type=Path, help="h5ad for the published procedure [simulated]")
    parser.add_argument("--share", type=float, default=0.05, help="of the null's draws [0.05]")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="where the tables go")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(one_repeat(args)))
        return
    if args.quick:
        args.repeats, args.share, args.cells, args.genes = 2, 0.002, 5000, 1000
    setting = (
        f"`sigilla bench influential`: {os.cpu_count()} cores, {workers(args.jobs)} threads, load"
        f" {os.getloadavg()[0]:.1f} at the start; min / median / max of {args.repeats} repeats in"
        " which all take turns. Beforehand: the peers, and a prototype in sigilla's place, on"
        " another machine of 2 cores."
    )
    lines = ["# Influential features", "", setting]
    if args.only != "cells":
        lines += ["", *published_table(against_published(args), args)]
    if args.only != "published":
        lines += ["", *cells_table(sparse_cells(args), args)]
    print(text := "\n".join(lines) + "\n")
    size = ("only", "share", "cells", "genes", "jobs", "file")
    whole = all(getattr(args, name) == parser.get_default(name) for name in size)
    out = args.out or (OUT if whole else None)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
