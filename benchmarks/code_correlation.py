"""Intervals and tests of the correlation between classes, where the correlation is known.

    python benchmarks/code_correlation.py                 all, a quarter of an hour on one core
    python benchmarks/code_correlation.py --repeats 3     quicker

``classes``: units (perturbagens) drawn around class profiles of prescribed correlations, with noise
partly shared by genes; interval constructions side by side, and both tests.
``codes``: S-VQ-VAE fitted to simulated LINCS signatures, its codes against class means.
Writes ``benchmarks/results/code_correlation.md``.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import norm, t

import sigilla as sg
from sigilla.metrics import class_correlation

OUT = Path(__file__).parent / "results/code_correlation.md"
SIZES = {
    "3 each": [3] * 12,
    "8 each": [8] * 12,
    "3 to 20": [3, 4, 6, 8, 10, 20] * 2,
    "2 to 12, 24 classes": [2, 3, 5, 12] * 6,
    "the same, noise uneven": [2, 3, 5, 12] * 6,
}


def blocks(rng: np.random.Generator, n_classes: int, n_genes: int) -> tuple:
    """Profiles of which three and three are related, all others have a correlation of 0."""
    truth = np.eye(n_classes)
    for start in range(0, n_classes, 3):
        rho = rng.uniform(0.2, 0.9)
        truth[start : start + 3, start : start + 3] = rho + (1 - rho) * np.eye(3)
    random = np.column_stack([np.ones(n_genes), rng.normal(size=(n_genes, n_classes))])
    axes = np.linalg.qr(random)[0][:, 1:]
    size = np.exp(rng.normal(0, 0.4, size=(n_classes, 1)))
    return size * (np.linalg.cholesky(truth) @ axes.T) * np.sqrt(n_genes), truth


def programmes(rng: np.random.Generator, n_classes: int, n_genes: int) -> tuple:
    """Profiles of six programmes: what a code book can find and class means cannot."""
    profiles = rng.normal(size=(n_classes, 6)) @ rng.normal(size=(6, n_genes))
    profiles -= profiles.mean(axis=1, keepdims=True)
    profiles /= profiles.std(axis=1, keepdims=True)
    return profiles * np.exp(rng.normal(0, 0.4, size=(n_classes, 1))), np.corrcoef(profiles)


def draw_units(
    rng: np.random.Generator, sizes: list[int], ratio: float, *, uneven: bool = False
) -> tuple:
    profiles, truth = blocks(rng, len(sizes), 300)
    classes = np.repeat(np.arange(len(sizes)), sizes)
    shared = rng.normal(size=(10, 300)) * np.geomspace(1, 0.2, 10)[:, None]
    shared /= np.sqrt(np.square(shared).sum(axis=0).mean())
    n = len(classes)
    noise = 0.8 * rng.normal(size=(n, 300)) + 0.6 * rng.normal(size=(n, 10)) @ shared
    if uneven:  # some classes are far noisier than others
        noise *= np.exp(rng.normal(0, 0.6, size=len(sizes)))[classes][:, None]
    strength = np.exp(rng.normal(0, 0.2, size=(n, 1)))
    return strength * profiles[classes] + noise / ratio, classes, truth


# -- other constructions -----------------------------------------------------------------------


def plain_intervals(units: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> dict:
    """Of the correlation of class means as it is: percentile, basic, BCa, Student's t."""
    n = np.bincount(classes)
    member = np.eye(len(n))[classes] / n[classes][:, None]
    means = member.T @ units
    r = np.corrcoef(means)
    start = np.cumsum(n) - n
    drawn = []
    for _ in range(200):
        pick = start[classes] + (rng.random(len(classes)) * n[classes]).astype(int)
        drawn.append(np.corrcoef(member.T @ units[pick]))
    drawn = np.array(drawn)

    # Leave one unit out: its own class's row changes.
    own = means[classes] - (units - means[classes]) / (n[classes] - 1)[:, None]
    left_out = np.corrcoef(own, means)[: len(own), len(own) :]
    z = np.arctanh(np.clip(left_out, -0.99999, 0.99999))
    z -= (member.T @ z)[classes]
    inside = np.eye(len(n))[classes].T
    scale = ((n - 1) / n)[:, None]
    v = scale * (inside @ np.square(z))
    freedom = np.square(v + v.T) / (
        np.square(v) / (n - 1)[:, None] + (np.square(v) / (n - 1)[:, None]).T
    )
    reach = t.ppf(0.975, freedom) * np.sqrt(v + v.T)
    fisher = np.arctanh(np.clip(r, -0.99999, 0.99999))
    drawn_z = np.arctanh(np.clip(drawn, -0.99999, 0.99999))
    low_z, high_z = np.quantile(drawn_z, [0.025, 0.975], axis=0)

    cubes, squares = inside @ (-(z**3)), inside @ z**2
    acceleration = (cubes + cubes.T) / (6 * (squares + squares.T) ** 1.5)
    below = np.clip((drawn < r).mean(axis=0), 0.5 / 200, 1 - 0.5 / 200)
    z0 = norm.ppf(below)
    ends = []
    for q in norm.ppf([0.025, 0.975]):
        level = norm.cdf(z0 + (z0 + q) / (1 - acceleration * (z0 + q)))
        rank = np.clip((level * 200).astype(int), 0, 199)
        ends.append(np.take_along_axis(np.sort(drawn, axis=0), rank[None], axis=0)[0])
    return {
        "bootstrap percentile": np.quantile(drawn, [0.025, 0.975], axis=0),
        "bootstrap basic, Fisher z": np.tanh([2 * fisher - high_z, 2 * fisher - low_z]),
        "bootstrap BCa": np.array(ends),
        "jackknife t, Fisher z": np.tanh([fisher - reach, fisher + reach]),
    }


# -- tables ------------------------------------------------------------------------------------


def interval_facts(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[float]:
    inside = (low <= truth) & (truth <= high)
    related = np.abs(truth) > 1e-9
    of_related = inside[related].mean() if related.any() else np.nan
    return [inside.mean(), of_related, (high - low).mean()]


def test_facts(truth: np.ndarray, q: np.ndarray) -> list[float]:
    """False discoveries of all discoveries; discoveries of what there is to find."""
    related, called = np.abs(truth) > 1e-9, q < 0.05
    false = (called & ~related).sum() / max(called.sum(), 1) if not related.all() else np.nan
    return [false, called[related].mean()]


def table(head: list[str], rows: dict) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for names, facts in rows.items():
        mean = np.mean(facts, axis=0)
        shown = ["-" if np.isnan(v) else f"{v:.3f}" for v in mean]
        lines.append("| " + " | ".join([*names, *shown]) + " |")
    return lines


def classes_part(repeats: int) -> list[str]:
    intervals, tests = defaultdict(list), defaultdict(list)
    for name, sizes in SIZES.items():
        upper = np.triu_indices(len(sizes), 1)
        for ratio in (0.5, 1.0, 2.0):
            for seed in range(repeats):
                rng = np.random.default_rng(seed)
                units, classes, truth = draw_units(rng, sizes, ratio, uneven="uneven" in name)
                truth = truth[upper]
                found = class_correlation(units, classes, random_state=seed)
                ends = plain_intervals(units, classes, rng)
                ends["**corrected, Fieller** (sigilla)"] = found.low, found.high
                for kind, (low, high) in ends.items():
                    facts = interval_facts(truth, low[upper], high[upper])
                    intervals[name, f"{ratio:g}", kind].append(facts)
                q = {
                    "0: **Student's t**": found.qvalue,
                    "0 and chance: permutation too": found.qvalue_perm,
                }
                for kind, v in q.items():
                    tests[name, f"{ratio:g}", kind].append(test_facts(truth, v[upper]))
    first = ["units per class", "signal / noise of a unit"]
    return [
        "## Intervals of 95 %",
        "",
        *table([*first, "interval", "coverage", "coverage, related pairs", "width"], intervals),
        "",
        "## False discoveries at q < 0.05",
        "",
        *table([*first, "against", "false discovery rate", "power"], tests),
        "",
    ]


def codes_part(repeats: int) -> list[str]:
    scenes = {
        "12 classes in threes": (blocks, 12, {"strength": 1.0}),
        "24 classes, six programmes": (programmes, 24, {"strength": 0.6}),
        "the same, cell lines differ": (
            programmes,
            24,
            {"strength": 0.6, "cell_line_effect": 0.1},
        ),
    }
    rows = defaultdict(list)
    for name, (make, n_classes, options) in scenes.items():
        upper = np.triu_indices(n_classes, 1)
        for seed in range(repeats):
            profiles, truth = make(np.random.default_rng(seed), n_classes, 200)
            adata = sg.datasets.simulate_lincs(
                prototypes=0.4 * profiles,
                class_sizes=[150, 250, 400, 600] * (n_classes // 4),
                perturbagen_effect=0.5,
                random_state=seed,
                **{"cell_line_effect": 0.0} | options,
            )
            sg.tl.svqvae(adata, random_state=seed)
            sg.tl.code_correlation(adata, random_state=seed)
            stats = adata.uns["svqvae"]["code_correlation_stats"]
            for kind, found in (("codes", stats), ("class means", stats["means"])):
                part = {k: v[upper] for k, v in found.items() if np.shape(v) == truth.shape}
                error = np.square(part["r"] - truth[upper]).mean() ** 0.5
                corrected = np.nanmean(np.square(part["corrected"] - truth[upper])) ** 0.5
                rows[name, kind].append(
                    [
                        error,
                        corrected,
                        *interval_facts(truth[upper], part["low"], part["high"]),
                        *test_facts(truth[upper], part["qvalue"]),
                    ]
                )
    head = ["signatures", "of", "error of r", "error, corrected", "coverage", "of related pairs"]
    return [
        "## Codes and class means",
        "",
        (
            "S-VQ-VAE at its defaults on `simulate_lincs` with 3, 5, 8 or 12 perturbagens per "
            "class, whose own effects are half their class's. Errors are root mean squares over "
            "pairs. In six programmes no correlation is exactly 0, so every discovery is true."
        ),
        "",
        *table([*head, "width", "false discovery rate", "power"], rows),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=12, help="data sets, and fits, per row")
    repeats = parser.parse_args().repeats
    start = time.perf_counter()
    text = [
        "# Code correlation",
        "",
        (
            f"`python benchmarks/code_correlation.py --repeats {repeats}`: known correlations, "
            f"{repeats} data sets, and fits, per row. Coverage is of all "
            "pairs; pairs of classes in threes are mostly unrelated, so that of related pairs is "
            "beside it. 200 draws, 500 permutations."
        ),
        "",
        *classes_part(repeats),
        *codes_part(repeats),
    ]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(text) + "\n")
    print("\n".join(text), f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
