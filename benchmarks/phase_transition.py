"""Where IF-PCA, PCA and k-means succeed in the rare/weak model, and two known answers.

    python benchmarks/phase_transition.py --out benchmarks/results

Two clusters differ in the means of a few of p genes, by plus or minus the strength. The figure
shows the error of each method over the plane of how many genes that is and how strong they are; the
table holds two models with opposite winners.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import sigilla as sg
from sigilla.files import replacing

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

METHODS = ("IF-PCA", "PCA", "k-means")
INFLUENTIAL = (10, 20, 40, 80, 160, 320)
STRENGTHS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
# The last column: what to expect, from Jin & Wang's theory and a run of the published procedure.
KNOWN = (
    ("Gaussian nuisance, ±1.5", "simulate_gaussian_nuisance", {"strength": 1.5}, "IF-PCA wins"),
    ("no signal", "simulate_gaussian_nuisance", {"strength": 0.0}, "all fail"),
    ("independent noise, ±0.75", "simulate_rare_weak", {"strength": 0.75}, "PCA wins"),
    ("independent noise, ±1.25", "simulate_rare_weak", {"strength": 1.25}, "all succeed"),
)


def errors(adata: AnnData, seed: int) -> dict[str, float]:
    """Error rate of each method."""
    from sklearn.cluster import KMeans

    found = {}
    for name, select in (("IF-PCA", True), ("PCA", False)):
        sg.tl.ifpca(adata, 2, select=select, n_init=10, random_state=seed, n_jobs=1)
        found[name] = adata.obs["ifpca"]
    W = (adata.X - adata.X.mean(axis=0)) / adata.X.std(axis=0)
    found["k-means"] = KMeans(2, n_init=3, random_state=seed).fit_predict(W)
    truth = adata.obs["label"]
    return {m: sg.metrics.clustering_error(truth, f, normalize=True) for m, f in found.items()}


def plane(n_obs: int, n_vars: int, seeds: int) -> pd.DataFrame:
    """Mean error over the grid of rarity and strength."""
    rows = []
    for n_influential in INFLUENTIAL:
        for strength in STRENGTHS:
            for seed in range(seeds):
                adata = sg.datasets.simulate_rare_weak(
                    n_obs=n_obs,
                    n_vars=n_vars,
                    n_influential=n_influential,
                    strength=strength,
                    random_state=seed,
                )
                rows.append((n_influential, strength, errors(adata, seed)))
    return pd.DataFrame([{"influential": i, "strength": s, **e} for i, s, e in rows]).pivot_table(
        index="strength", columns="influential", values=list(METHODS)
    )


def known_answers(seeds: int) -> str:
    lines = [f"| model | {' | '.join(METHODS)} | expected |", "|---|--:|--:|--:|---|"]
    for title, simulator, options, expected in KNOWN:
        runs = pd.DataFrame(
            [
                errors(getattr(sg.datasets, simulator)(random_state=seed, **options), seed)
                for seed in range(seeds)
            ]
        )
        cells = [f"{runs[m].mean():.3f} ± {runs[m].std():.3f}" for m in METHODS]
        lines.append(f"| {title} | {' | '.join(cells)} | {expected} |")
    return "\n".join(lines)


def figure(table: pd.DataFrame, n_obs: int, n_vars: int) -> Figure:
    from matplotlib.figure import Figure

    fig = Figure(figsize=(9.5, 3.4), layout="constrained")
    axes = fig.subplots(1, len(METHODS), sharey=True)
    for ax, method in zip(axes, METHODS, strict=True):
        part = table[method]
        image = ax.imshow(part, origin="lower", cmap="Blues", vmin=0, vmax=0.5, aspect="auto")
        for (row, column), value in np.ndenumerate(part.to_numpy()):
            colour = "white" if value > 0.28 else "#333333"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
        ax.set_title(method, fontsize=10)
        ax.set_xticks(range(part.shape[1]), part.columns)
        ax.set_yticks(range(part.shape[0]), part.index)
        ax.set_xlabel(f"influential genes of {n_vars:,}")
    axes[0].set_ylabel("strength (sd)")
    fig.colorbar(image, ax=axes, label=f"error rate, n = {n_obs}")
    return fig


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-obs", type=int, default=150)
    parser.add_argument("--n-vars", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for the table and the figure")
    args = parser.parse_args(argv)
    table = plane(args.n_obs, args.n_vars, args.seeds)
    text = "\n\n".join(
        [
            "# Phase transition of subject clustering",
            f"`sigilla bench phase_transition --out benchmarks/results`; {args.seeds} seeds, K 2.",
            "Two known answers, each with the case that ends it:",
            known_answers(args.seeds),
            "![Error over rarity and strength](phase_transition.png)",
        ]
    )
    print(table.round(2).to_string(), f"\n\n{text}")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        with replacing(args.out / "phase_transition.md", argument="--out") as part:
            part.write_text(f"{text}\n")
        with replacing(args.out / "phase_transition.png", argument="--out") as part:
            figure(table, args.n_obs, args.n_vars).savefig(part, format="png", dpi=150)


if __name__ == "__main__":
    main()
