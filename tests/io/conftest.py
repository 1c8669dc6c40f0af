"""GCTX files of every layout, made by h5py alone so that no code under test writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """How a GCTX file holds its matrix and ids."""

    shape: tuple[int, int] = (7, 5)
    dtype: str = "<f4"
    chunks: tuple[int, int] | None = None
    filters: str = "none"  # of: none gzip shuffle gzip+shuffle lzf fletcher
    ids: str = "fixed"  # of: fixed variable integer
    metadata: bool = True
    version: str = "text"  # of: none text array


FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip", "compression_opts": 1},
    "shuffle": {"shuffle": True},
    "gzip+shuffle": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "fletcher": {"compression": "gzip", "fletcher32": True},
}


def write_layout(path: Path, layout: Layout) -> np.ndarray:
    """Write the file; returns its matrix, signatures x genes, as stored."""
    n_signatures, n_genes = layout.shape
    rng = np.random.default_rng(n_signatures * 1000 + n_genes)
    values = rng.normal(0, 100, layout.shape).astype(layout.dtype)
    options = FILTERS[layout.filters] if layout.chunks else {}
    with h5py.File(path, "w") as file:
        if layout.version == "text":
            file.attrs["version"] = np.bytes_("GCTX1.0")
        elif layout.version == "array":
            file.attrs["version"] = np.array([b"GCTX1.0"])
        file.create_dataset("/0/DATA/0/matrix", data=values, chunks=layout.chunks, **options)
        _write_ids(file, "/0/META/COL/id", n_signatures, layout.ids)
        _write_ids(file, "/0/META/ROW/id", n_genes, layout.ids)
        if layout.metadata:
            column, row = file["/0/META/COL"], file["/0/META/ROW"]
            names = [[b"A375", b"MCF7", b"-666"][i % 3] for i in range(n_signatures)]
            column["cell_id"] = np.array(names, dtype="S4")
            column["pert_dose"] = np.array([b"0.04", b"-666"] * n_signatures)[:n_signatures]
            column["pert_time"] = np.array([24, -666] * n_signatures)[:n_signatures]
            column["qc"] = np.linspace(0, 1, n_signatures)
            row["pr_gene_symbol"] = np.array([f"G{i}".encode() for i in range(n_genes)])
            row["pr_is_lm"] = np.arange(n_genes) % 2
    return values


def _write_ids(file: h5py.File, node: str, count: int, kind: str) -> None:
    numbers = np.arange(count) * 3 + 10
    if kind == "integer":
        file[node] = numbers
    elif kind == "fixed":
        file[node] = np.array([f"id{n}".encode() for n in numbers], dtype="S12")
    else:
        file.create_dataset(node, data=[f"id{n}" for n in numbers], dtype=h5py.string_dtype())


@pytest.fixture
def gctx(tmp_path: Path) -> Callable[..., tuple[Path, np.ndarray]]:
    """Write a file of the given layout; returns its path and its matrix."""

    def make(**options: Any) -> tuple[Path, np.ndarray]:
        path = tmp_path / "made.gctx"
        return path, write_layout(path, Layout(**options))

    return make
