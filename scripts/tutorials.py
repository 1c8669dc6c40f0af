"""Run the tutorials; with ``--write`` keep what they print and draw, as they are committed.

``python scripts/tutorials.py [--write] [NOTEBOOK ...]``
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TUTORIALS = Path(__file__).parents[1] / "tutorials"
PICTURES = Path(__file__).parents[1] / "docs/_static"
LARGEST = 2_000_000  # bytes: a notebook that the web still shows


def main() -> None:
    """Run each notebook in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="store the outputs in the notebooks")
    given = parser.parse_args()
    os.environ.pop("MPLBACKEND", None)  # a kernel draws into the notebook unless told otherwise
    failed = [
        path.name
        for path in given.notebooks or sorted(TUTORIALS.glob("*.ipynb"))
        if not run(path, write=given.write)
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(path: Path, *, write: bool) -> bool:
    """Whether every cell ran; its outputs go back into the file if ``write``."""
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        try:
            client.execute()
        except CellExecutionError as error:
            print(error, file=sys.stderr)
            return False
    if write:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times of day: noise in a diff
        nbformat.write(notebook, path)
        for cell in notebook.cells:
            export_picture(cell)
    size = path.stat().st_size
    print(f"{path.name}: ran in {time.perf_counter() - start:.0f} s, {size / 1e6:.2f} MB")
    return size < LARGEST


def export_picture(cell: nbformat.NotebookNode) -> None:
    """Keep the plot of a cell tagged ``picture:NAME`` for README and docs."""
    for tag in cell.metadata.get("tags", ()):
        kind, _, name = tag.partition(":")
        if kind == "picture":
            shown = [output.get("data", {}) for output in cell.outputs]
            (plot,) = [data["image/png"] for data in shown if "image/png" in data]
            (PICTURES / f"{name}.png").write_bytes(base64.b64decode(plot))


if __name__ == "__main__":
    main()
