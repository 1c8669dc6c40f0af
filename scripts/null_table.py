"""Write the table of the Kolmogorov-Smirnov score's null distribution, and show its accuracy.

    python scripts/null_table.py                 about 15 minutes on one core
    python scripts/null_table.py --values 1e7    a rough one in half a minute

For each sample size n, scores of normal genes are simulated by the same code that scores data, and
their quantiles taken at a grid of normal deviates. From n = 12 on, each quantile is then smoothed
over n by a polynomial in 1/sqrt(n), the form of the statistic's large-sample expansion, whose
constant is the row of n = infinity. The table is compared with fresh simulations at sizes that are
not in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.special import ndtr

import sigilla.pp
from sigilla.pp._null import TABLE, TabulatedNull, simulate_scores

EXACT = (3, 4, 5, 6, 7, 8, 9, 10, 11)
SMOOTHED = (12, 14, 16, 19, 22, 27, 32, 40, 50, 64, 90, 128, 200, 320, 600, 1200, 3000)
CHECKED = (3, 5, 13, 42, 72, 181, 500, 5000)
Z = np.linspace(-4, 4.25, 67)
MAX_DRAWS = 2e7
DEGREE = 4
# A quantile with fewer simulated values beyond it than this does not enter the smoothing.
MIN_BEYOND = 30


def draws(n: int, values: float) -> int:
    return int(min(MAX_DRAWS, values / n))


def quantiles(n: int, values: float, seed: int) -> np.ndarray:
    scores = simulate_scores(n, draws(n, values), random_state=seed)
    print(f"n {n:5d}  {len(scores):9d} draws  mean {scores.mean():.5f}  sd {scores.std():.5f}")
    return np.quantile(scores, ndtr(Z))


def smooth(raw: np.ndarray, values: float) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed rows with infinity as the last, and the residuals of the smoothing."""
    at = 1 / np.sqrt([*SMOOTHED, np.inf])
    number = np.array([draws(n, values) for n in SMOOTHED])
    fitted = np.empty((len(at), len(Z)))
    for column, z in enumerate(Z):
        used = number * ndtr(-abs(z)) >= MIN_BEYOND
        used |= used.sum() <= DEGREE
        weights = np.sqrt(number[used])
        fit = np.polynomial.Polynomial.fit(
            at[:-1][used], raw[used, column], DEGREE, w=weights, domain=(0, 1)
        )
        fitted[:, column] = fit(at)
    return fitted, raw - fitted[:-1]


def write(path: Path, sizes: list[float], table: np.ndarray, values: float) -> None:
    lines = [
        "# Scores that a normal gene of n samples exceeds with probability Phi(-z); columns are z.",
        f"# Written by scripts/null_table.py --values {values:g}",
        ",".join(["n", *(f"{z:g}" for z in Z)]),
        *(
            ",".join([f"{n:g}", *(f"{x:.6f}" for x in row)])
            for n, row in zip(sizes, table, strict=True)
        ),
    ]
    beside = path.with_suffix(".partial")
    beside.write_text("\n".join(lines) + "\n", "ascii")
    beside.replace(path)


def check(n: int, values: float, seed: int) -> None:
    scores = np.sort(simulate_scores(n, draws(n, values), random_state=seed))
    null = TabulatedNull(n)
    mean, sd = null.moments(1.0)
    p = (len(scores) - np.arange(len(scores)) - 0.5) / len(scores)
    error = null.sf(scores) - p
    at = [np.searchsorted(-p, -level) for level in (0.1, 0.01, 0.001)]
    relative = "  ".join(f"{100 * error[i] / p[i]:+6.2f}" for i in at)
    noise = scores.std() / np.sqrt(len(scores))
    print(
        f"{n:5d} {mean - scores.mean():+10.6f} {sd - scores.std():+10.6f} {noise:10.6f} "
        f"{np.abs(error).max():10.6f}   {relative}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--values", type=float, default=6e8, help="simulated values per n")
    parser.add_argument("--seed", type=int, default=2016)
    args = parser.parse_args()

    exact = np.array([quantiles(n, args.values, args.seed + n) for n in EXACT])
    raw = np.array([quantiles(n, args.values, args.seed + n) for n in SMOOTHED])
    smoothed, residuals = smooth(raw, args.values)
    print("smoothing, largest residual for |z| <= 3, by n:")
    inner = np.abs(residuals[:, np.abs(Z) <= 3]).max(axis=1)
    print("  ".join(f"{n}: {r:.5f}" for n, r in zip(SMOOTHED, inner, strict=True)))
    path = Path(sigilla.pp.__file__).parent / TABLE
    write(path, [*EXACT, *SMOOTHED, np.inf], np.vstack([exact, smoothed]), args.values)

    print("\ntable against fresh simulations; errors of the p-value, and in percent of it")
    print("    n  mean error   sd error  mc noise  max |error|  at 0.1    0.01   0.001 (%)")
    for n in CHECKED:
        check(n, args.values, args.seed + 100_000 + n)


if __name__ == "__main__":
    main()
