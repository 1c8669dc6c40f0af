"""What made the page: enough to make it again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.batches import read_observations
from sigilla.report._inputs import File

if TYPE_CHECKING:
    from anndata import AnnData

    from sigilla.report._pieces import Piece

_PACKAGES = ("sigilla", "torch", "numpy", "anndata", "scikit-learn", "matplotlib")


def provenance(adata: AnnData, piece: Piece) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titled lists of name and value."""
    request = piece.data_set.request
    stored = adata.uns[request.key]
    params = {str(k): _text(v) for k, v in stored["params"].items()}
    software = [*software_versions(), ("sigilla that fitted", str(stored["version"]))]
    made = [("Seed of splits", str(request.random_state))]
    if (day := request.day()) is not None:
        made.insert(0, ("Date", day.isoformat()))
    told = adata.uns.get("provenance")
    parts = [
        ("Input", [*_source(piece), ("SHA-256 of the matrix (float32)", _digest(adata, params))]),
        ("The data's own account", _flat(told) if isinstance(told, Mapping) else []),
        ("Model", [("method", str(stored["method"])), *params.items()]),
        ("Software", software),
        ("This page", made),
    ]
    return [(title, rows) for title, rows in parts if rows]


def software_versions() -> list[tuple[str, str]]:
    """Python and the packages that decide the numbers."""
    return [("Python", platform.python_version()), *((p, version(p)) for p in _PACKAGES)]


def _source(piece: Piece) -> list[tuple[str, str]]:
    rows = [("Name", piece.data_set.name)]
    if piece.value is not None:
        rows.append((f"Signatures of {piece.data_set.request.per}", piece.value))
    source = piece.data_set.source
    if isinstance(source, File):
        rows.append(("File", source.path.name))
        for name, checksum in piece.checksums.items():
            what = "the file" if name == source.path.name else name
            rows.append((f"SHA-256 of {what}", checksum))
        rows += [(name, _text(value)) for name, value in source.described().items()]
    return rows


def _digest(adata: AnnData, params: Mapping[str, str]) -> str:
    seen = read_observations(adata, layer=params.get("layer"), use_rep=params.get("use_rep"))
    return hashlib.sha256(np.ascontiguousarray(seen.x)).hexdigest()


def _flat(told: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in told.items():
        label = f"{prefix}{name}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{label}: ")
        else:
            rows.append((label, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return ", ".join(map(str, value.ravel()[:20])) + (", ..." if value.size > 20 else "")
    return str(value)
