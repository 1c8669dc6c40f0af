"""Seconds until Python is ready: ``import sigilla`` and ``sigilla --help`` beside other imports.

    sigilla bench startup [--repeats 7]

Every run is a fresh process, all in turns. What a verb needs (torch, scanpy) is imported when it is
first asked for. Writes a table to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _spread import spread

OUT = Path(__file__).parent / "results/startup.md"
RUNS = {
    "python alone": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import sigilla": ["-c", "import sigilla"],
    "sigilla --help": ["-m", "sigilla", "--help"],
    "import anndata": ["-c", "import anndata"],
    "import torch": ["-c", "import torch"],
    "import scanpy": ["-c", "import scanpy"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    for arguments in RUNS.values():  # files into the page cache
        seconds(arguments)
    times: dict[str, list[float]] = {name: [] for name in RUNS}
    for _ in range(options.repeats):
        for name, arguments in RUNS.items():
            times[name].append(seconds(arguments))
    rows = [f"| {name} | {spread(t)} |" for name, t in times.items()]
    intro = (
        f"Seconds of fresh processes, warm files, {os.cpu_count()} cores, load {load:.1f} at the "
        f"start, {options.repeats} rounds in turns: least / median / greatest."
    )
    head = ["## Start", "", intro, "", "| what | seconds |", "|---|---|"]
    options.out.write_text("\n".join([*head, *rows, ""]))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
