"""What a model says of observations, written under the keys of ``sigilla.keys``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

import sigilla
from sigilla import keys
from sigilla.models import Embedding

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.batches import Blocks, Observations
    from sigilla.models import Model

# Rows embedded at a time: large enough for the matrix product, small beside the data.
_BLOCK_ROWS = 8192


@torch.no_grad()
def embed(model: Model, x: NDArray[np.float32] | Blocks) -> dict[str, NDArray[Any]]:
    """The fields of ``model.embed`` for all observations, as arrays that are filled in blocks."""
    device = next(model.parameters()).device
    model.eval()
    found: dict[str, NDArray[Any]] = {}
    for start in range(0, x.shape[0], _BLOCK_ROWS):
        block = torch.from_numpy(x[start : start + _BLOCK_ROWS]).to(device)
        said = model.embed(block)
        for field in dataclasses.fields(Embedding):
            part = getattr(said, field.name)
            if part is None:
                continue
            values = part.cpu().numpy()
            if field.name not in found:
                found[field.name] = np.empty((x.shape[0], *values.shape[1:]), values.dtype)
            found[field.name][start : start + len(values)] = values
    return found


def store(
    adata: AnnData,
    key: str,
    model: Model,
    seen: Observations,
    *,
    params: dict[str, Any],
    history: dict[str, NDArray[np.float64]] | None = None,
) -> None:
    """Embed ``seen`` and write everything; nothing is written if embedding fails."""
    found = embed(model, seen.x)
    stored = _describe(model, params, history or {})
    prototypes = stored.pop("prototypes", None)
    adata.obsm[keys.latent(key)] = found["latent"]
    if "nearest" in found:
        adata.obs[key] = pd.Categorical.from_codes(found["nearest"], categories=model.classes)
        adata.obsm[keys.distances(key)] = found["distances"]
        adata.obsm[keys.codes(key)] = found["codes"]
    if "confidence" in found:
        adata.obs[keys.confidence(key)] = found["confidence"]
    if prototypes is not None and seen.columns is not None:
        all_genes = np.full((adata.n_vars, len(prototypes)), np.nan, dtype=np.float32)
        here = seen.columns >= 0
        all_genes[seen.columns[here]] = prototypes.T[here]
        adata.varm[keys.prototypes(key)] = all_genes
    adata.uns[key] = stored


@torch.no_grad()
def _describe(
    model: Model, params: dict[str, Any], history: dict[str, NDArray[np.float64]]
) -> dict[str, Any]:
    description = model.describe()
    given = params | description["config"]
    stored: dict[str, Any] = {
        "method": model.name,
        "version": sigilla.__version__,
        # None does not survive every file format: an option that is not there was None.
        "params": {k: v for k, v in given.items() if v is not None},
        "history": history,
        "model": json.dumps(description),
        "weights": model.state(),
        "genes": np.array(model.var_names, dtype=object),
    }
    codes, prototypes = model.codebook(), model.prototypes()
    if codes is not None and prototypes is not None:
        space = codes if model.correlation_space == "latent" else prototypes
        stored |= {
            "classes": np.array(model.classes, dtype=object),
            "codes": codes.detach().cpu().numpy(),
            "code_correlation": np.corrcoef(space.detach().cpu().numpy().astype(np.float64)),
            "correlation_space": model.correlation_space,
            "prototypes": prototypes.detach().cpu().numpy(),
        }
    return stored
