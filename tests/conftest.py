"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sigilla import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData


def pytest_configure() -> None:
    """Draw without a screen; leave each worker of ``-n`` a core of its own."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def mirror() -> Callable[[str], Path]:
    """A real data file from the local mirror ($SIGILLA_MIRROR), or a skip that says which."""

    def find(name: str) -> Path:
        base = os.environ.get("SIGILLA_MIRROR")
        if not base or "://" in base:
            pytest.skip(f"real data: set SIGILLA_MIRROR to a folder that holds {name}")
        path = Path(base) / name
        if not path.exists():
            pytest.skip(f"real data: {name} is not in SIGILLA_MIRROR")
        return path

    return find


@pytest.fixture
def coded() -> Callable[..., AnnData]:
    """Makes an AnnData as a verb leaves it, from codes that the test chooses."""
    return _coded


def _coded(
    profiles: np.ndarray,
    classes: Sequence[str],
    *,
    key: str = "svqvae",
    per_class: int = 4,
    label_key: str | None = "pcl",
    var_names: Sequence[str] | None = None,
) -> AnnData:
    """``profiles`` (classes x genes) are both prototypes and codes; every class has its wells."""
    profiles = np.asarray(profiles, dtype=np.float32)
    k, genes = profiles.shape
    label = np.repeat(np.arange(k), per_class)
    rng = np.random.default_rng(0)
    x = profiles[label] + rng.normal(0, 0.3, (len(label), genes)).astype(np.float32)
    distances = np.square(x[:, None] - profiles[None]).sum(axis=2)
    nearest = distances.argmin(axis=1)
    adata = ad.AnnData(
        x,
        obs=pd.DataFrame(index=[f"well{i}" for i in range(len(x))]),
        var=pd.DataFrame(
            {"gene_symbol": [f"GENE{i}" for i in range(genes)]},
            index=list(var_names) if var_names is not None else [f"g{i}" for i in range(genes)],
        ),
    )
    params = {"random_state": 0}
    if label_key is not None:
        adata.obs[label_key] = pd.Categorical.from_codes(label, categories=list(classes))
        params["label_key"] = label_key
    adata.obs[key] = pd.Categorical.from_codes(nearest, categories=list(classes))
    adata.obsm[keys.latent(key)] = x
    adata.obsm[keys.codes(key)] = profiles[nearest]
    adata.obsm[keys.distances(key)] = distances
    adata.varm[keys.prototypes(key)] = profiles.T
    adata.uns[key] = {
        "method": "svqvae",
        "version": "0",
        "classes": np.array(list(classes), dtype=object),
        "codes": profiles[:, ::-1].copy(),
        "code_correlation": np.corrcoef(profiles.astype(np.float64)),
        "correlation_space": "genes",
        "params": params,
        "history": {
            "loss": np.linspace(2, 1, 8),
            "reconstruction": np.linspace(1.5, 0.9, 8),
            "divergence": np.linspace(-0.1, -0.3, 8),
            "accuracy": np.linspace(0.4, 0.9, 8),
            "val_loss": np.array([2.1, 1.8, 1.6, 1.5, 1.4, 1.45, 1.5, 1.6]),
            "val_accuracy": np.array([0.4, 0.5, 0.6, 0.7, 0.75, 0.74, 0.73, 0.7]),
            "val_cross_entropy": np.array([1.1, 0.9, 0.8, 0.75, 0.7, 0.72, 0.75, 0.8]),
            "seconds": np.arange(8.0),
        },
        "genes": np.array(adata.var_names, dtype=object),
    }
    return adata
