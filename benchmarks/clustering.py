"""Subject clustering: IF-PCA and IF-VAE beside PCA, VAE, k-means, Leiden and SC3s.

    python benchmarks/clustering.py [--sets brain yan] [--methods IF-PCA PCA] [--seeds 5]
    python benchmarks/clustering.py --quick          two small sets, one seed
    python benchmarks/clustering.py --out benchmarks/results

Every set gets the same settings. Cells are prepared by ``sg.pp.single_cell``. With ``--out`` every
run is kept in ``clustering.csv`` as it ends, those that are there already are not run again, and
``clustering.md`` and ``clustering.png`` are made of all of them.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import sigilla as sg
from sigilla.errors import unknown_name
from sigilla.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from matplotlib.figure import Figure

# Name: layer, and whether X holds counts (None: a microarray).
MICROARRAYS = {
    **dict.fromkeys(["brain", "leukemia", "prostate", "lung1", "lymphoma", "srbct"]),
    **dict.fromkeys(["breast", "lung2", "sucancer"]),
    "colon": "dettling",
}
# Counts, or values normalised for library size before, or log counts as the papers publish them.
CELLS = {
    **dict.fromkeys(["goolam", "pbmc3k"], "counts"),
    **dict.fromkeys(["yan", "treutlein"], "normalised"),
    **dict.fromkeys(["camp1", "camp2", "darmanis", "deng", "grun", "li", "patel"], "log"),
}
QUICK = ("leukemia", "colon")
# Errors of Jin & Wang (2016), and of two methods in the result files beside that paper's code.
PUBLISHED = pd.DataFrame(
    {
        "brain": [11, 6, 12, 17],
        "colon": [25, 30, 29, 26],
        "leukemia": [5, 21, 20, 33],
        "lung1": [6, 22, 21, 60],
        "lymphoma": [4, 14, 24, 24],
        "prostate": [39, 43, 43, 42],
    },
    index=["IF-PCA", "spectral", "sparse k-means", "COSA"],
).T
# Which published figure belongs to which of our methods.
SAME_AS_PUBLISHED = {"IF-PCA": "IF-PCA", "PCA": "spectral"}


INTRODUCTION = (
    "`sigilla bench clustering --out benchmarks/results`. One default configuration for each "
    "method, nothing tuned per set; K is given. Error: share of the samples outside their class "
    "under the best matching of clusters to classes. The length and the rate of IF-VAE's training "
    "were settled with these sets in sight, so its lead over IF-PCA is not a held-out result."
)
COLUMNS = (
    "*sd over seeds*: of the mean error over the sets. *rank*: 1 is the best method on a set. "
    "*regret*: error above that of the set's best method, as a share of the way to its worst. "
    "*CPU s*: processor seconds on one thread, median over seeds, mean over sets. *seeds*: the "
    "fewest on any set."
)
SOURCES = (
    "Published: IF-PCA and spectral clustering (which corresponds to PCA) from Jin & Wang (2016), "
    "Ann. Statist. 44:2323-2359; sparse k-means and COSA from the result files beside their code. "
    "No figures could be had for the single-cell sets."
)


# ------------------------------------------------------------------------------- data


def load(name: str) -> AnnData:
    adata = sg.datasets.load(name)
    if name in MICROARRAYS:
        if MICROARRAYS[name]:
            adata.X = adata.layers[MICROARRAYS[name]]
    elif CELLS[name] != "log":
        sg.pp.single_cell(adata, normalize=CELLS[name] == "counts")
    return adata[adata.obs["label"].notna()].copy()


def at_hand() -> list[str]:
    known = sg.datasets.available()
    here = known.index[known["at_hand"] != ""]
    return [name for name in [*MICROARRAYS, *CELLS] if name in here]


# ---------------------------------------------------------------------------- methods


def verb(name: str, **options: Any) -> Callable[[AnnData, int, int], Any]:
    def run(adata: AnnData, k: int, seed: int) -> Any:
        getattr(sg.tl, name)(adata, k, key_added="found", random_state=seed, n_jobs=1, **options)
        return adata.obs["found"]

    return run


def k_means(adata: AnnData, k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=10, random_state=seed).fit_predict(standardised(adata))


def leiden(adata: AnnData, k: int, seed: int) -> Any:
    """Scanpy's own way, with the resolution halved in until there are K clusters."""
    import scanpy as sc

    few = min(50, min(adata.shape) - 1)
    sc.pp.pca(adata, n_comps=few, random_state=seed)
    sc.pp.neighbors(adata, n_neighbors=min(15, adata.n_obs - 1), random_state=seed)
    low, high, best = 0.0, 8.0, None
    for _ in range(30):
        resolution = (low + high) / 2
        sc.tl.leiden(
            adata, resolution=resolution, flavor="igraph", n_iterations=2, random_state=seed
        )
        found = adata.obs["leiden"]
        n = found.nunique()
        if best is None or abs(n - k) < abs(best.nunique() - k):
            best = found.copy()
        if n == k:
            break
        low, high = (resolution, high) if n < k else (low, resolution)
    return best


def sc3s(adata: AnnData, k: int, seed: int) -> Any:
    import sc3s as package
    import scanpy as sc

    level = logging.getLogger().level
    sc.pp.pca(adata, n_comps=min(25, min(adata.shape) - 1), random_state=seed)
    package.tl.consensus(adata, n_clusters=[k], random_state=seed)
    logging.getLogger().setLevel(level)  # it sets up the root logger
    return adata.obs[f"sc3s_{k}"]


def standardised(adata: AnnData) -> np.ndarray:
    X = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    sd = X.std(axis=0)
    return (X[:, sd > 0] - X[:, sd > 0].mean(axis=0)) / sd[sd > 0]


METHODS: dict[str, Callable[[AnnData, int, int], Any]] = {
    "IF-PCA": verb("ifpca"),
    "IF-PCA(X)": verb("ifpca", scale=False),
    "PCA": verb("ifpca", select=False),
    "IF-VAE": verb("ifvae", progress=False),
    "VAE": verb("ifvae", select=False, progress=False),
    "IF-VAE, chen2023": verb("ifvae", recipe="chen2023", progress=False),
    "VAE, chen2023": verb("ifvae", recipe="chen2023", select=False, progress=False),
    "k-means": k_means,
    "Leiden": leiden,
    "SC3s": sc3s,
}
NEEDS = {"Leiden": "igraph", "SC3s": "sc3s"}


# -------------------------------------------------------------------------------- runs


def run(name: str, adata: AnnData, method: str, seed: int) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score

    truth = adata.obs["label"].astype(str)
    start, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages
        found = METHODS[method](adata.copy(), truth.nunique(), seed)
    return {
        "set": name,
        "method": method,
        "seed": seed,
        "n": adata.n_obs,
        "p": adata.n_vars,
        "k": truth.nunique(),
        "found": len(set(found)),
        "errors": sg.metrics.clustering_error(truth, np.asarray(found)),
        "ari": round(adjusted_rand_score(truth, np.asarray(found)), 4),
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def all_runs(
    sets: list[str], methods: list[str], seeds: int, out: Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Every run, one row each, and what could not be run."""
    path = None if out is None else out / "clustering.csv"
    rows = pd.read_csv(path).to_dict("records") if path and path.exists() else []
    done = {(row["set"], row["method"], row["seed"]) for row in rows}
    missing: list[str] = []
    for name in sets:
        todo = [(m, s) for s in range(seeds) for m in methods if (name, m, s) not in done]
        adata = load(name) if todo else None
        for method, seed in todo:
            if method in missing:
                continue
            try:
                rows.append(run(name, adata, method, seed))
            except ImportError as error:
                print(f"{method}: left out, {error}; pip install {NEEDS[method]}")
                missing.append(method)
                continue
            print(
                "{set:10} {method:18} seed {seed}  {errors:4} of {n}  {seconds} s".format(
                    **rows[-1]
                )
            )
            if path:
                with replacing(path, argument="--out") as part:
                    pd.DataFrame(rows).to_csv(part, index=False)
    table = pd.DataFrame(rows)
    wanted = table["set"].isin(sets) & table["method"].isin(methods) & (table["seed"] < seeds)
    order = [*MICROARRAYS, *CELLS]
    table = table.sort_values("set", key=lambda names: names.map(order.index), kind="stable")
    return (table if out else table[wanted]), missing


# ------------------------------------------------------------------------------ report


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each method: mean rate, spread over seeds, ARI, rank, regret, seconds."""
    rate = runs.assign(rate=runs["errors"] / runs["n"])
    by_set = rate.pivot_table("rate", "method", "set")
    whole = by_set.dropna(axis=1)  # ranks mean nothing on a set that a method did not see
    span = (whole.max() - whole.min()).replace(0, 1)
    by_seed = rate[rate["set"].isin(whole)].pivot_table("rate", ["method", "seed"], "set")
    over_sets = by_seed.dropna().mean(axis=1)  # of the seeds that every set has
    cells = [name for name in whole if name in CELLS]
    arrays = [name for name in whole if name in MICROARRAYS]
    table = pd.DataFrame(
        {
            "mean error": whole.mean(axis=1),
            "sd over seeds": over_sets.groupby("method").std(),
            "microarrays": whole[arrays].mean(axis=1),
            "cells": whole[cells].mean(axis=1),
            "accuracy": 1 - whole.mean(axis=1),
            "ARI": rate[rate["set"].isin(whole)]
            .groupby(["method", "set"])["ari"]
            .mean()
            .groupby("method")
            .mean(),
            "rank": whole.rank().mean(axis=1),
            "regret": ((whole - whole.min()) / span).mean(axis=1),
            "CPU s": runs.groupby(["method", "set"])["cpu_seconds"]
            .median()
            .groupby("method")
            .mean(),
        }
    )
    return table.sort_values("mean error")


def errors_table(runs: pd.DataFrame, order: list[str]) -> str:
    grouped = runs.groupby(["set", "method"])["errors"]
    text = pd.DataFrame({"mean": grouped.mean(), "sd": grouped.std().fillna(0)}).apply(
        lambda row: f"{row['mean']:.4g}" + (f" ± {row['sd']:.1f}" if row["sd"] else ""), axis=1
    )
    lines = [
        f"| set (n, K) | {' | '.join(order)} | published |",
        "|---|" + "--:|" * len(order) + "---|",
    ]
    for name, part in runs.groupby("set", sort=False):
        cells = [text.get((name, m), "—") for m in order]
        n, k = part["n"].iloc[0], part["k"].iloc[0]
        lines.append(f"| {name} ({n}, {k}) | {' | '.join(cells)} | {published(name)} |")
    return "\n".join(lines)


def published(name: str) -> str:
    if name not in PUBLISHED.index:
        return "—"
    return ", ".join(f"{m} {e}" for m, e in PUBLISHED.loc[name].items())


def markdown(runs: pd.DataFrame, skipped: list[str], missing: list[str]) -> str:
    table = summary(runs)
    seeds = runs.groupby(["method", "set"])["seed"].nunique().groupby("method").min()
    rows = [
        f"| {m} | {r['mean error']:.3f} | {_or_dash(r['sd over seeds'])} | "
        f"{_or_dash(r['microarrays'])} | {_or_dash(r['cells'])} | {r['accuracy']:.3f} | "
        f"{r['ARI']:.3f} | {r['rank']:.1f} | {r['regret']:.2f} | {r['CPU s']:.1f} | {seeds[m]} |"
        for m, r in table.iterrows()
    ]
    head = ["method", *table.columns, "seeds"]
    order = [m for m in METHODS if m in table.index]
    compared = runs.groupby("set")["method"].nunique()
    whole = compared.index[compared == len(table)]
    off = runs[(runs["found"] != runs["k"])]
    parts = [
        "# Subject clustering",
        INTRODUCTION,
        f"Means over {len(whole)} sets ({', '.join(whole)}), each counted alike:",
        "\n".join([f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1), *rows]),
        COLUMNS,
        "Errors, mean and standard deviation over seeds where they differ:",
        errors_table(runs, order),
        SOURCES,
    ]
    if len(off):
        names = sorted({f"{m} on {s}" for s, m in zip(off["set"], off["method"], strict=True)})
        parts.append(f"K clusters could not be had from {', '.join(names)}: the nearest number.")
    if missing:
        parts.append(f"Left out, not installed: {', '.join(missing)}.")
    if skipped:
        parts.append(f"Left out, not at hand: {', '.join(skipped)}.")
    parts.append("![Error by set and method](clustering.png)")
    return "\n\n".join(parts) + "\n"


def _or_dash(value: float) -> str:
    return "—" if np.isnan(value) else f"{value:.3f}"


def figure(runs: pd.DataFrame) -> Figure:
    """A panel for each set: every seed's error by method, and the published one."""
    from matplotlib.figure import Figure

    order = list(summary(runs).index)[::-1]
    names = list(runs["set"].unique())
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    fig = Figure(figsize=(2.0 + 2.3 * columns, 0.6 + (0.5 + 0.19 * len(order)) * lines))
    axes = fig.subplots(lines, columns, sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        part = runs[runs["set"] == name]
        for at, method in enumerate(order):
            rate = (part.loc[part["method"] == method, "errors"] / part["n"].iloc[0]).to_numpy()
            own = method in {"IF-PCA", "IF-VAE"}
            colour = "#4477AA" if own else "#777777"
            ax.plot(rate, np.full(len(rate), at), "o", ms=3.5, color=colour, alpha=0.6, mew=0)
            if len(rate):
                ax.plot([rate.mean()] * 2, [at - 0.32, at + 0.32], color=colour, lw=1.6)
            same = SAME_AS_PUBLISHED.get(method)
            if same and name in PUBLISHED.index:
                share = PUBLISHED.loc[name, same] / part["n"].iloc[0]
                ax.plot(share, at, "D", ms=6, mfc="none", mec="#EE6677", mew=1)
        ax.set_title(f"{name}, n {part['n'].iloc[0]}, K {part['k'].iloc[0]}", fontsize=9)
        ax.set_yticks(range(len(order)), order, fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
        ax.set_xlim(-0.02, max(0.6, ax.get_xlim()[1]))
        ax.grid(axis="x", color="#EEEEEE", lw=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in list(axes.flat)[len(names) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("error rate", fontsize=8)
    fig.suptitle(
        "Dots: seeds; bar: their mean; red diamond: published", fontsize=8, x=0.99, ha="right"
    )
    fig.tight_layout()
    return fig


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="sigilla bench clustering",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sets", nargs="+", help="data sets (default: all that are at hand)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="default: all")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--quick", action="store_true", help="two small sets, one seed")
    parser.add_argument("--out", type=Path, help="folder for the table, the figure and the runs")
    args = parser.parse_args(argv)
    for option, known in (("sets", [*MICROARRAYS, *CELLS]), ("methods", list(METHODS))):
        for value in getattr(args, option) or ():
            if value not in known:
                parser.error(unknown_name(f"--{option}", value, known))
    if args.seeds < 1:
        parser.error(f"--seeds={args.seeds} must be at least 1")
    wanted = args.sets or (QUICK if args.quick else [*MICROARRAYS, *CELLS])
    here = at_hand()
    sets = [name for name in wanted if name in here]
    skipped = [name for name in wanted if name not in here]
    if skipped:
        print(f"left out, not at hand: {', '.join(skipped)} (sigilla datasets fetch NAME)")
    if not sets:
        parser.error("none of the sets is at hand; SIGILLA_MIRROR may name a folder that has them")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    runs, missing = all_runs(sets, args.methods, 1 if args.quick else args.seeds, args.out)
    text = markdown(runs, skipped, missing)
    print(f"\n{text}")
    if args.out:
        with replacing(args.out / "clustering.md", argument="--out") as part:
            part.write_text(text)
        with replacing(args.out / "clustering.png", argument="--out") as part:
            figure(runs).savefig(part, format="png", dpi=150)


if __name__ == "__main__":
    main()
