"""What made the page: enough to make it again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla.batches import read_observations

if TYPE_CHECKING:
    import datetime as dt

    from anndata import AnnData

    from sigilla.report._inputs import DataSet

_PACKAGES = ("sigilla", "torch", "numpy", "anndata", "scikit-learn", "matplotlib")


def provenance(
    adata: AnnData,
    data_set: DataSet,
    *,
    key: str,
    random_state: int,
    date: dt.date | None,
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titled lists of name and value."""
    stored = adata.uns[key]
    params = {str(k): _text(v) for k, v in stored["params"].items()}
    source = [("Name", data_set.name)]
    checksum = data_set.sha256()
    if checksum is not None:
        source += [("File", data_set.source.name), ("SHA-256 of the file", checksum)]
    source.append(("SHA-256 of the matrix (float32)", _matrix_digest(adata, params)))
    software = [("Python", platform.python_version()), *((p, version(p)) for p in _PACKAGES)]
    software.append(("sigilla that fitted", str(stored["version"])))
    made = [("Seed of splits", str(random_state))]
    if date is not None:
        made.insert(0, ("Date", date.isoformat()))
    told = adata.uns.get("provenance")
    parts = [
        ("Input", source),
        ("The data's own account", _flat(told) if isinstance(told, Mapping) else []),
        ("Model", [("method", str(stored["method"])), *params.items()]),
        ("Software", software),
        ("This page", made),
    ]
    return [(title, rows) for title, rows in parts if rows]


def _matrix_digest(adata: AnnData, params: Mapping[str, str]) -> str:
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
