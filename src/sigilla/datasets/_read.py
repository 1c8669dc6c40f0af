"""Text and R files of the clustering papers, and MNIST, as AnnData."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from sigilla.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from sigilla.datasets._manifests import Manifest

    Array = NDArray[Any]


def text_matrix(manifest: Manifest, paths: Mapping[str, Path]) -> ad.AnnData:
    """A genes x samples text matrix without names, and one class number per line."""
    x = pd.read_csv(paths["matrix"], sep=r"\s+", header=None, dtype="float32").to_numpy().T
    labels = pd.read_csv(paths["labels"], header=None, dtype=float)[0].astype(int).to_numpy()
    return _assembled(manifest, np.ascontiguousarray(x), labels)


def r_data(manifest: Manifest, paths: Mapping[str, Path]) -> ad.AnnData:
    """An R workspace; the manifest says which object is the matrix and which are the labels."""
    rdata = _rdata()
    content = rdata.read_rda(paths["matrix"], default_encoding="utf-8")
    read = manifest.read
    x = _object(content, read["matrix"])
    samples, features = _names(x, 0), _names(x, 1)
    values = np.asarray(x)
    if read.get("genes") == "rows":
        values, samples, features = values.T, features, samples
    if "features" in read:
        features = np.asarray(_object(content, read["features"])).astype(str)
    labels = samples
    if "labels" in read:
        labels = np.asarray(_object(content, read["labels"]))
    values = np.ascontiguousarray(values, "float32")
    return _assembled(manifest, values, labels, samples, features)


def converted(path: Path) -> ad.AnnData:
    """A file that a mirror made from the published ones."""
    adata = ad.read_h5ad(path)
    for name, column in adata.var.items():
        if set(column.astype(str)) <= {"True", "False"}:  # flags that were stored as text
            adata.var[name] = column.astype(str) == "True"
    return adata


def mnist(manifest: Manifest, paths: Mapping[str, Path]) -> ad.AnnData:
    """Train, then test images, flattened, in [-1, 1] as the S-VQ-VAE paper has them."""
    parts = ("train", "test")
    images = [_idx(paths[f"{part}_images"], 3) for part in parts]
    labels = [_idx(paths[f"{part}_labels"], 1) for part in parts]
    x = np.concatenate([image.reshape(len(image), -1) for image in images]).astype("float32")
    x /= 127.5
    x -= 1
    adata = _assembled(manifest, x, np.concatenate(labels))
    split = np.repeat(parts, [len(image) for image in images])
    adata.obs["split"] = pd.Categorical(split, categories=parts)
    return adata


def _idx(path: Path, n_dims: int) -> Array:
    raw = gzip.decompress(path.read_bytes())
    shape = tuple(np.frombuffer(raw, ">i4", count=n_dims, offset=4))
    if raw[:4] != bytes((0, 0, 8, n_dims)) or len(raw) != 4 + 4 * n_dims + np.prod(shape):
        raise DataError(f"{path} is not an idx file of {n_dims} dimensions")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def _assembled(
    manifest: Manifest,
    x: Array,
    labels: Array,
    samples: Array | None = None,
    features: Array | None = None,
) -> ad.AnnData:
    obs_names = _usable(samples, "s", len(x))
    var_names = [f"g{i}" for i in range(x.shape[1])] if features is None else features
    adata = ad.AnnData(
        x, obs=pd.DataFrame(index=pd.Index(obs_names)), var=pd.DataFrame(index=pd.Index(var_names))
    )
    if len(labels) != len(x):
        raise DataError(f"{manifest.name}: {len(labels)} labels for {len(x)} samples")
    adata.obs["label"] = _category(labels, manifest.read.get("classes"))
    adata.var_names_make_unique()
    return _prepared(adata, manifest.read)


def _usable(names: Array | None, prefix: str, n: int) -> Array | list[str]:
    if names is None or len(set(names)) < n or all(str(name).isdigit() for name in names):
        return [f"{prefix}{i}" for i in range(n)]
    return names


def _category(labels: Array, classes: list[str] | None) -> pd.Categorical:
    if classes is None:
        return pd.Categorical(labels.astype(str))
    return pd.Categorical([classes[int(label) - int(min(labels))] for label in labels])


def _prepared(adata: ad.AnnData, read: Mapping[str, Any]) -> ad.AnnData:
    """What the manifest asks for beyond reading."""
    if "min_fraction" in read:
        adata = adata[:, (adata.X > 0).mean(axis=0) >= read["min_fraction"]].copy()
        adata.var["ercc"] = adata.var_names.str.startswith("ERCC-")
    if read.get("dettling"):
        log = np.log10(adata.X.astype(float))
        z = (log - log.mean(1, keepdims=True)) / log.std(1, ddof=1, keepdims=True)
        adata.layers["dettling"] = z.astype("float32")
    if read.get("genes") == "rows":  # single cells, mostly zeros
        adata.X = sparse.csr_matrix(adata.X)
    return adata


# -- R -----------------------------------------------------------------------------------------


def _rdata() -> Any:
    try:
        import rdata
    except ImportError as error:
        raise ImportError(
            "this data set is published as an R workspace: pip install 'sigilla[r]' to read it"
        ) from error
    return rdata


def _object(content: Mapping[str, Any], path: str) -> Any:
    """``list.element`` of an R workspace; an element's own name may have dots."""
    name, _, element = path.partition(".")
    return content[name][element] if element else content[name]


def _names(x: Any, axis: int) -> Array | None:
    """Row or column names, which R matrices may have and data frames do."""
    if isinstance(x, pd.DataFrame):
        return x.axes[axis].to_numpy().astype(str)
    dims = getattr(x, "dims", ())
    if not dims or dims[axis] not in x.coords:
        return None
    return x.coords[dims[axis]].to_numpy().astype(str)
