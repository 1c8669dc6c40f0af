# Written by scripts/stubs.py from the registry of methods; do not edit.

from pathlib import Path
from typing import Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from sigilla.tl._calibrate import calibrate as calibrate
from sigilla.tl._class_enrichment import class_enrichment as class_enrichment
from sigilla.tl._classify import classify as classify
from sigilla.tl._code_correlation import code_correlation as code_correlation
from sigilla.tl._connectivity import connectivity as connectivity
from sigilla.tl._gene_sets import gene_sets as gene_sets
from sigilla.tl._generate import generate as generate
from sigilla.tl._ifpca import ifpca as ifpca
from sigilla.tl._ifvae import ifvae as ifvae
from sigilla.tl._judge_generated import judge_generated as judge_generated
from sigilla.tl._map_query import map_query as map_query
from sigilla.tl._mark_unknown import mark_unknown as mark_unknown
from sigilla.tl._rank_targets import rank_targets as rank_targets
from sigilla.tl._retrieve import retrieve as retrieve

def vae(
    adata: AnnData,
    *,
    n_latent: int = 32,
    n_hidden: int = 256,
    beta: float = 1.0,
    noise: Literal["gene", "shared"] = "gene",
    scale: bool = True,
    recipe: Literal["sigilla", "chen2023"] = "sigilla",
    max_epochs: int = 200,
    batch_size: int = 256,
    learning_rate: float = 0.001,
    weight_decay: float = 0.0,
    validation_fraction: float = 0.1,
    patience: int = 20,
    precision: Literal["float32", "bfloat16"] = "float32",
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    key_added: str | None = None,
    random_state: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    from_disk: bool | None = None,
    copy: bool = False,
) -> AnnData | None: ...
def vqvae(
    adata: AnnData,
    *,
    n_codes: int = 32,
    n_latent: int = 32,
    n_hidden: int = 256,
    commitment_cost: float = 0.25,
    max_epochs: int = 200,
    batch_size: int = 256,
    learning_rate: float = 0.001,
    weight_decay: float = 0.0,
    validation_fraction: float = 0.1,
    patience: int = 20,
    precision: Literal["float32", "bfloat16"] = "float32",
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    key_added: str | None = None,
    random_state: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    from_disk: bool | None = None,
    copy: bool = False,
) -> AnnData | None: ...
def svqvae(
    adata: AnnData,
    label_key: str | None = "pcl",
    *,
    n_latent: int = 128,
    n_hidden: int = 256,
    commitment_cost: float = 0.25,
    divergence_cost: float = 0.1,
    dropout: float = 0.2,
    objective: Literal["sigilla", "xue2020"] = "sigilla",
    max_epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 0.0005,
    weight_decay: float = 0.0,
    validation_fraction: float = 0.1,
    patience: int = 5,
    precision: Literal["float32", "bfloat16"] = "float32",
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    key_added: str | None = None,
    random_state: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    from_disk: bool | None = None,
    copy: bool = False,
) -> AnnData | None: ...
