"""The verbs made from the registry: what they write, and what they refuse before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata
import dask.array
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from scipy import sparse

import sigilla as sg
from sigilla import keys
from sigilla.models import METHODS

if TYPE_CHECKING:
    from pathlib import Path

# A name that is a path in HDF5, markup in a page and a formula in a sheet.
CLASSES = ["mTOR/PI3K inhibitor", "<script>", "=cmd()"]
SMALL = {"vae": {"n_latent": 3}, "vqvae": {"n_codes": 3, "n_latent": 3}}


def signatures(n: int = 60, genes: int = 10) -> anndata.AnnData:
    rng = np.random.default_rng(0)
    label = np.arange(n) % len(CLASSES)
    x = rng.normal(size=(len(CLASSES), genes))[label] * 3 + rng.normal(size=(n, genes))
    pcl = np.array(CLASSES, dtype=object)[label]
    pcl[::10] = None
    obs = pd.DataFrame({"pcl": pcl}, index=[f"sig{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(genes)])
    return anndata.AnnData(x.astype(np.float32), obs=obs, var=var)


def run(name: str, adata: anndata.AnnData, **options: object) -> anndata.AnnData | None:
    return getattr(sg.tl, name)(adata, **({"max_epochs": 2} | SMALL.get(name, {}) | options))


@pytest.fixture(params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_verb_writes_its_keys_and_returns_none(name):
    adata = signatures()
    assert run(name, adata) is None
    assert len(adata.obsm[keys.latent(name)]) == adata.n_obs
    assert len(adata.uns[name]["history"]["loss"]) == 2
    if METHODS[name].has_codes:
        k = len(adata.uns[name]["classes"])
        assert adata.obsm[keys.distances(name)].shape == (adata.n_obs, k)
        assert adata.varm[keys.prototypes(name)].shape == (adata.n_vars, k)
        assert adata.uns[name]["code_correlation"].shape == (k, k)
        nearest = adata.obsm[keys.distances(name)].argmin(axis=1)
        assert (adata.obs[name].cat.codes == nearest).all()
        np.testing.assert_array_equal(
            adata.obsm[keys.codes(name)], adata.uns[name]["codes"][nearest]
        )


def test_key_added_replaces_every_key(name):
    adata = signatures()
    run(name, adata, key_added="mine")
    for axis in (adata.obs, adata.obsm, adata.varm, adata.uns):
        assert not [k for k in axis if name in k]
    assert keys.latent("mine") in adata.obsm


def test_copy_leaves_the_input_alone(name):
    adata = signatures()
    changed = run(name, adata, copy=True)
    assert name in changed.uns
    assert not adata.uns
    assert not adata.obsm


def test_a_view_becomes_an_object_of_its_own(name):
    whole = signatures()
    part = whole[:40]
    run(name, part)
    assert not part.is_view
    assert not whole.uns


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_a_written_file_is_the_saved_model(name, form, tmp_path):
    adata = signatures()
    run(name, adata)
    path = tmp_path / f"fitted.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path)
    model = sg.get.model(back, name)
    found = model.embed(torch.from_numpy(back.X)).latent.numpy()
    np.testing.assert_allclose(found, adata.obsm[keys.latent(name)], rtol=1e-5, atol=1e-6)
    assert list(map(str, back.uns[name].get("classes", []))) == list(model.classes)


def test_the_same_seed_gives_the_same_numbers(name):
    first, second, other = (signatures() for _ in range(3))
    run(name, first)
    run(name, second)
    run(name, other, random_state=1)
    latent = keys.latent(name)
    np.testing.assert_array_equal(first.obsm[latent], second.obsm[latent])
    assert not np.array_equal(first.obsm[latent], other.obsm[latent])


def test_masked_genes_have_no_prototype():
    adata = signatures()
    mask = np.arange(adata.n_vars) % 2 == 0
    run("vqvae", adata, mask_var=mask)
    prototypes = adata.varm[keys.prototypes("vqvae")]
    assert np.isnan(prototypes[~mask]).all()
    assert np.isfinite(prototypes[mask]).all()


def test_bad_input_is_refused_before_anything_is_written(name):
    adata = signatures()
    adata.X[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        run(name, adata)
    with pytest.raises(TypeError, match="option='n_latents' not found; did you mean 'n_latent'"):
        run(name, adata, n_latents=2)
    with pytest.raises(ValueError, match="batch_size=0 must be >= 1"):
        run(name, adata, batch_size=0)
    with pytest.raises(ValueError, match="max_epochs='2' must be a number"):
        run(name, adata, max_epochs="2")
    with pytest.raises(ValueError, match="a slash would make it a path"):
        run(name, adata, key_added="a/b")
    with pytest.raises(OSError, match=r"checkpoint='no/fit\.ckpt': its folder does not exist"):
        run(name, adata, checkpoint="no/fit.ckpt")
    assert not adata.uns
    assert not adata.obsm


def test_what_is_no_anndata_and_what_is_no_seed_are_named(name):
    with pytest.raises(TypeError, match=f"tl.{name}: adata is NoneType, not an AnnData"):
        run(name, None)
    for seed in (-1, None, 1.5, 2**32, "0", True):
        with pytest.raises(ValueError, match=f"random_state={seed!r} must be a whole number"):
            run(name, signatures(), random_state=seed)


def test_labels_are_checked_first():
    adata = signatures()
    for name, method in METHODS.items():
        if not method.uses_labels:
            continue
        verb = getattr(sg.tl, name)
        with pytest.raises(KeyError, match="label_key='PLC' not found; did you mean 'pcl'"):
            verb(adata, "PLC")
        with pytest.raises(ValueError, match=r"label_key=None: .* one code per class"):
            verb(adata, None)
        adata.obs["none"] = None
        with pytest.raises(ValueError, match="no label at all"):
            verb(adata, "none")
        adata.obs["one"] = "only"
        with pytest.raises(ValueError, match="one class, 'only'"):
            verb(adata, "one")
    assert not adata.uns


def on_disk(kind: str, adata: anndata.AnnData, folder: Path) -> anndata.AnnData:
    """The same signatures, with a matrix that stays on disk."""
    if kind == "gctx":
        sg.io.write_gctx(adata, folder / "x.gctx")
        lazy = sg.io.read_gctx(folder / "x.gctx", backed=True)
        lazy.obs["pcl"] = adata.obs["pcl"].to_numpy()
        return lazy
    if kind.startswith("zarr"):
        adata.write_zarr(folder / "x.zarr")
        x = zarr.open(folder / "x.zarr", mode="r")["X"]
        x = dask.array.from_zarr(x) if kind == "zarr, dask" else x
        return anndata.AnnData(x, obs=adata.obs.copy(), var=adata.var.copy())
    adata = adata.copy()
    if kind == "sparse h5ad":
        adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(folder / "x.h5ad")
    return anndata.read_h5ad(folder / "x.h5ad", backed="r")


@pytest.mark.parametrize("kind", ["h5ad", "sparse h5ad", "gctx", "zarr", "zarr, dask"])
def test_a_matrix_on_disk_is_read_in_blocks_and_the_result_says_so(kind, tmp_path):
    memory = signatures(n=300)
    disk = on_disk(kind, memory, tmp_path)
    for adata in (memory, disk):
        sg.tl.svqvae(adata, max_epochs=5, batch_size=16, from_disk=adata is disk)
    params = disk.uns["svqvae"]["params"]
    assert params["from_disk"]
    assert params["start_rows"] == 300
    assert "from_disk" not in memory.uns["svqvae"]["params"]
    assert not isinstance(disk.X, np.ndarray)
    agreed = (disk.obs["svqvae"].to_numpy() == memory.obs["svqvae"].to_numpy()).mean()
    assert agreed > 0.98
    model = sg.get.model(disk)
    latent = model.embed(torch.from_numpy(memory.X)).latent.detach().numpy()
    np.testing.assert_allclose(disk.obsm["X_svqvae"], latent, rtol=1e-4, atol=1e-4)
    if kind.endswith("h5ad"):
        disk.file.close()
