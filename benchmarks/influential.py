"""The influential-feature step against the published procedure and against dense numpy.

    python benchmarks/influential.py                                 both parts, a few minutes
    python benchmarks/influential.py published --file lung1.h5ad     on data (default: simulated)
    python benchmarks/influential.py sparse --cells 100000 --genes 20000

``published`` re-implements the feature selection of Chen, Jin & Ke (2023) from its description: a
null of 50 draws per gene, one at a time, then gene by gene. Its draws are cut into rounds, and a
run of sigilla follows each round, so that a busy machine slows both. ``sparse`` times a matrix
of log counts against sorting dense blocks with numpy, and measures memory in fresh processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse
from scipy.stats import norm

from sigilla.pp._influential import score_and_select

BLOCK_GENES = 64


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


def against_published(args: argparse.Namespace) -> None:
    if args.file:
        X = ad.read_h5ad(args.file).X
    else:
        X = np.random.default_rng(0).gamma(5.0, size=(181, 12_533)).astype(np.float32)
    n, p = X.shape
    draws = args.draws * p
    rng = np.random.default_rng(0)
    score_and_select(X)  # the first call reads the table

    parts, theirs, ours = [], 0.0, []
    for part in np.array_split(np.arange(draws), args.rounds):
        start = time.perf_counter()
        parts.append(published_null(n, len(part), rng))
        theirs += time.perf_counter() - start
        for _ in range(5):
            start = time.perf_counter()
            selection = score_and_select(X, n_jobs=args.jobs)
            ours.append(time.perf_counter() - start)
    start = time.perf_counter()
    kept = published_selection(X.astype(np.float64), np.concatenate(parts))
    theirs += time.perf_counter() - start

    print(f"{n} samples x {p} genes; null of {draws} draws; {args.rounds} rounds, interleaved")
    print(f"published  {theirs:9.2f} s   {kept} genes")
    print(
        f"sigilla    {np.median(ours):9.4f} s   {selection.selected.sum()} genes"
        f"   (median of {len(ours)}; {min(ours):.4f} to {max(ours):.4f})"
    )
    print(f"ratio      {theirs / np.median(ours):9.0f}   (worst run {theirs / max(ours):.0f})")


# ------------------------------------------------------------------- sparse single cells


def write_cells(folder: Path, cells: int, genes: int, density: float) -> None:
    """A CSR matrix of log counts, gene by gene denser or sparser, in three npy files."""
    rng = np.random.default_rng(0)
    expressed = rng.beta(1.0, (1 - density) / density, size=genes)
    data, indices, counts = [], [], []
    for start in range(0, cells, 2000):
        rows = min(2000, cells - start)
        mask = rng.random((rows, genes), dtype=np.float32) < expressed
        counts.append(mask.sum(axis=1))
        indices.append(np.nonzero(mask)[1].astype(np.int32))
        data.append(np.log1p(rng.standard_exponential(len(indices[-1]), dtype=np.float32)))
    np.save(folder / "data.npy", np.concatenate(data))
    np.save(folder / "indices.npy", np.concatenate(indices))
    np.save(folder / "indptr.npy", np.concatenate([[0], np.cumsum(np.concatenate(counts))]))


def read_cells(folder: Path, genes: int) -> sparse.csr_matrix:
    data, indices, indptr = (np.load(folder / f"{k}.npy") for k in ("data", "indices", "indptr"))
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)
    X = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, genes))
    X.has_canonical_format = True
    return X


def dense_scores(X: sparse.csc_matrix) -> np.ndarray:
    """The score by plain numpy on dense blocks of genes."""
    n = X.shape[0]
    ranks = np.arange(1, n + 1)[:, None] / n
    scores = []
    for start in range(0, X.shape[1], BLOCK_GENES):
        block = X[:, start : start + BLOCK_GENES].toarray().astype(np.float64)
        cdf = norm.cdf(np.sort((block - block.mean(axis=0)) / block.std(axis=0), axis=0))
        above = np.abs(ranks - cdf).max(axis=0)
        scores.append(np.sqrt(n) * np.maximum(above, np.abs(ranks - 1 / n - cdf).max(axis=0)))
    return np.concatenate(scores)


def peak_bytes() -> int:
    """Peak resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held before this process began
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(args: argparse.Namespace) -> None:
    """What a fresh process does: print seconds and memory as JSON."""
    start_bytes = peak_bytes()
    X = read_cells(args.measure, args.genes)
    input_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    start, start_cpu = time.perf_counter(), time.process_time()
    selection = score_and_select(X, n_jobs=args.jobs)
    seconds = time.perf_counter() - start
    cpu = time.process_time() - start_cpu
    peak = peak_bytes() - start_bytes
    some = np.linspace(0, args.genes - 1, min(args.dense_genes, args.genes)).astype(int)
    sample = X[:, some].tocsc()
    start = time.perf_counter()
    dense = dense_scores(sample)
    dense_seconds = (time.perf_counter() - start) * args.genes / len(some)
    result = {
        "values": X.nnz,
        "input": input_bytes,
        "peak": peak,
        "seconds": seconds,
        "cpu": cpu,
        "dense": dense_seconds,
        "dense_on": len(some),
        "difference": float(np.abs(dense - selection.scores[some]).max()),
    }
    print(json.dumps(result))


def sparse_cells(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_cells(Path(folder), args.cells, args.genes, args.density)
        command = [sys.executable, __file__, "sparse", "--measure", folder]
        for option in ("cells", "genes", "dense_genes", "jobs"):
            value = getattr(args, option)
            command += [] if value is None else [f"--{option.replace('_', '-')}", str(value)]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(args.repeats)
        ]
    best = min(runs, key=lambda run: run["seconds"])
    print(f"{args.cells} cells x {args.genes} genes, CSR, {best['values'] / 1e6:.0f} M non-zeros")
    print(
        f"sigilla      {best['seconds']:8.2f} s   (best of {len(runs)} fresh processes;"
        f" {best['cpu']:.2f} s of CPU)"
    )
    print(f"dense numpy  {best['dense']:8.2f} s   (scaled up from {best['dense_on']} genes)")
    print(f"ratio        {min(r['dense'] / r['seconds'] for r in runs):8.1f}   (worst)")
    print(f"largest difference of a score {best['difference']:.1e}")
    gigabytes = best["input"] / 2**30, max(r["peak"] for r in runs) / 2**30
    print(
        f"memory       {gigabytes[1]:8.2f} GiB at the peak, imports apart; input"
        f" {gigabytes[0]:.2f} GiB: {gigabytes[1] / gigabytes[0]:.2f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=("all", "published", "sparse"), default="all")
    parser.add_argument("--jobs", type=int, help="threads (default: all cores)")
    parser.add_argument("--file", type=Path, help="h5ad to select from (default: simulated)")
    parser.add_argument("--draws", type=int, default=50, help="null draws per gene")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=4_000)
    parser.add_argument("--density", type=float, default=0.31)
    parser.add_argument("--dense-genes", type=int, default=256, help="genes of the dense run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args)
        return
    if args.part != "sparse":
        against_published(args)
    if args.part != "published":
        sparse_cells(args)


if __name__ == "__main__":
    main()
