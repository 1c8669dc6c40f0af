"""Data sets load alike from published files, from a mirror's conversions and by hand."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.datasets import _manifests
from sigilla.datasets._manifests import DataFile, Manifest
from sigilla.errors import DataError, FileError
from sigilla.settings import settings


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Makes a data set ``toy`` whose files lie in a mirror folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setattr(settings, "mirror", str(folder))
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")

    def make(loader: str, files: dict[str, tuple[str, bytes]], **more: object) -> Manifest:
        for name, content in files.values():
            (folder / name).write_bytes(content)
        entries = tuple(
            DataFile(name, None, len(content), None, name, role)
            for role, (name, content) in files.items()
        )
        manifest = Manifest(
            "toy", "Toy", "MIT", "none", "https://h.example", "-", loader, "label", entries, **more
        )
        monkeypatch.setattr(_manifests, "manifests", lambda: {"toy": manifest})
        return manifest

    return make


TEXT = {"matrix": ("x.txt", b"1 2 3\n4 5.5 6\n"), "labels": ("y.txt", b"0\n1\n1\n")}


def test_text_matrices_are_turned_to_samples_by_genes(toy):
    toy("text_matrix", TEXT, n_obs=3, n_vars=2, n_classes=2)
    adata = sg.datasets.load("toy")
    np.testing.assert_array_equal(adata.X, np.array([[1, 4], [2, 5.5], [3, 6]], "float32"))
    assert adata.obs["label"].tolist() == ["0", "1", "1"]
    assert adata.uns["provenance"]["dataset"] == "toy"


def test_classes_are_named_where_the_manifest_names_them(toy):
    toy("text_matrix", TEXT, n_obs=3, n_vars=2, read={"classes": ["ALL", "AML"]})
    assert sg.datasets.load("toy").obs["label"].tolist() == ["ALL", "AML", "AML"]


def test_a_file_of_another_shape_is_refused(toy):
    toy("text_matrix", TEXT, n_obs=3, n_vars=7)
    with pytest.raises(DataError, match=r"should have 3 samples x 7 genes.*3 x 2"):
        sg.datasets.load("toy")


def test_labels_of_another_number_are_refused(toy):
    toy("text_matrix", TEXT | {"labels": ("y.txt", b"0\n1\n")}, n_obs=3, n_vars=2)
    with pytest.raises(DataError, match="2 labels for 3 samples"):
        sg.datasets.load("toy")


def test_a_conversion_in_the_mirror_is_read_in_place_of_the_files(toy, tmp_path, monkeypatch):
    manifest = toy("text_matrix", TEXT, n_obs=3, n_vars=2)
    expected = sg.datasets.load("toy")
    expected.write_h5ad(tmp_path / "mirror" / "toy.h5ad")
    converted = DataFile("toy.h5ad", None, None, None, "toy.h5ad")
    patched = {"toy": replace(manifest, converted=converted)}
    for file in manifest.files:
        (tmp_path / "mirror" / file.name).unlink()
    monkeypatch.setattr(_manifests, "manifests", lambda: patched)
    adata = sg.datasets.load("toy")
    np.testing.assert_array_equal(adata.X, expected.X)
    assert adata.obs["label"].tolist() == ["0", "1", "1"]


def test_options_are_for_series_only(toy):
    toy("text_matrix", TEXT, n_obs=3, n_vars=2)
    with pytest.raises(TypeError, match="takes no options; got classes"):
        sg.datasets.load("toy", classes="x.tsv")


def test_r_workspaces_are_read(toy, tmp_path):
    rdata = pytest.importorskip("rdata")
    x = np.arange(6.0).reshape(3, 2) + 1
    path = tmp_path / "toy.rda"
    rdata.write_rda(
        path, {"toy": {"x": x, "gene.names": np.array(["g1", "g2"]), "y": np.array([2, 1, 2])}}
    )
    read = {"matrix": "toy.x", "labels": "toy.y", "features": "toy.gene.names", "dettling": True}
    read["classes"] = ["normal", "tumor"]
    files = {"matrix": ("toy.rda", path.read_bytes())}
    toy("r_data", files, n_obs=3, n_vars=2, read=read)
    adata = sg.datasets.load("toy")
    np.testing.assert_array_equal(adata.X, x)
    assert adata.obs["label"].tolist() == ["tumor", "normal", "tumor"]
    assert list(adata.var_names) == ["g1", "g2"]
    np.testing.assert_allclose(adata.layers["dettling"].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(adata.layers["dettling"].std(axis=1, ddof=1), 1, rtol=1e-6)


def test_without_rdata_the_message_names_the_extra(toy, monkeypatch):
    toy("r_data", {"matrix": ("toy.rda", b"-")}, read={"matrix": "toy"})
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(ImportError, match=r"sigilla\[r\]"):
        sg.datasets.load("toy")


def idx(values: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}i", *values.shape)
    return gzip.compress(head + values.astype("uint8").tobytes())


def mnist_files(n: int = 2) -> dict[str, tuple[str, bytes]]:
    images = np.arange(n * 4).reshape(n, 2, 2) % 256
    return {
        "train_images": ("a.gz", idx(images)),
        "train_labels": ("b.gz", idx(np.arange(n))),
        "test_images": ("c.gz", idx(images[:1] * 0 + 255)),
        "test_labels": ("d.gz", idx(np.array([7]))),
    }


def test_idx_files_are_flattened_and_scaled(toy):
    toy("mnist", mnist_files(), n_obs=3, n_vars=4)
    adata = sg.datasets.load("toy")
    assert adata.obs["label"].tolist() == ["0", "1", "7"]
    assert adata.obs["split"].tolist() == ["train", "train", "test"]
    np.testing.assert_allclose(adata.X[0], np.arange(4) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(adata.X[2], 1)


def test_a_truncated_idx_file_is_refused(toy):
    whole = gzip.decompress(mnist_files()["train_images"][1])
    broken = {"train_images": ("a.gz", gzip.compress(whole[:-1]))}
    toy("mnist", mnist_files() | broken, n_obs=3, n_vars=4)
    with pytest.raises(DataError, match="not an idx file"):
        sg.datasets.load("toy")


# -- a series ----------------------------------------------------------------------------------


@pytest.fixture
def series(toy, tmp_path):
    """A simulated release, packed as GEO packs it, with its classes and its signatures."""
    release = sg.datasets.simulate_lincs_release(
        tmp_path / "out", n_classes=3, n_genes=30, n_inferred=5
    )
    tables = ("sig_info", "gene_info", "pert_info")
    files = {role: (f"{role}.txt.gz", getattr(release, role).read_bytes()) for role in tables}
    files["gctx"] = ("level5.gctx.gz", gzip.compress(release.gctx.read_bytes(), 1))
    return toy("lincs_release", files), release


def test_a_series_is_unpacked_once_and_joined(series, tmp_path):
    _, release = series
    adata = sg.datasets.load("toy", classes=release.classes)
    expected = sg.io.read_lincs(**asdict(release))
    np.testing.assert_array_equal(adata.X, expected.X)
    pd.testing.assert_frame_equal(adata.obs, expected.obs)
    unpacked = tmp_path / "cache" / "toy" / "level5.gctx"
    assert unpacked.read_bytes() == release.gctx.read_bytes()
    (tmp_path / "mirror" / "level5.gctx.gz").unlink()
    assert sg.datasets.load("toy", cell_lines="A375").obs["cell_id"].unique().tolist() == ["A375"]


def test_an_unpacked_matrix_in_the_mirror_is_used(series, tmp_path):
    _, release = series
    (tmp_path / "mirror" / "level5.gctx").write_bytes(release.gctx.read_bytes())
    (tmp_path / "mirror" / "level5.gctx.gz").unlink()
    assert sg.datasets.load("toy").n_vars == 30
    assert not (tmp_path / "cache").exists()


def test_a_truncated_package_is_named_and_nothing_is_left(series, tmp_path, monkeypatch):
    manifest, _ = series
    packed = tmp_path / "mirror" / "level5.gctx.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    files = tuple(replace(file, bytes=None) for file in manifest.files)
    patched = {"toy": replace(manifest, files=files)}
    monkeypatch.setattr(_manifests, "manifests", lambda: patched)
    with pytest.raises(FileError, match=r"level5\.gctx\.gz cannot be unpacked"):
        sg.datasets.load("toy")
    assert list((tmp_path / "cache" / "toy").iterdir()) == []


# -- the real ones -----------------------------------------------------------------------------

AT_HAND = ["brain", "colon", "leukemia", "lung1", "prostate"]
AT_HAND += ["goolam", "pbmc3k", "treutlein", "yan"]


@pytest.fixture
def real(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "mirror", str(mirror("lincs").parent))
    monkeypatch.setattr(settings, "cache_dir", tmp_path)


@pytest.mark.parametrize("name", AT_HAND)
def test_real_data_have_the_published_shape_and_classes(name, real):
    manifest = _manifests.manifest(name)
    adata = sg.datasets.load(name)
    assert adata.shape == (manifest.n_obs, manifest.n_vars)
    assert adata.obs["label"].nunique() == manifest.n_classes
    assert adata.X.dtype == np.float32


def test_the_plate_has_genes_by_entrez_id_and_mechanisms(real):
    plate = sg.datasets.l1000_plate()
    assert plate.shape == (377, 978)
    assert set(plate.var_names) == set(sg.datasets.landmarks()["pr_gene_id"])
    vehicle = plate.obs["pert_type"] == "ctl_vehicle"
    assert vehicle.sum() == 26
    assert plate.obs.loc[vehicle, "moa"].isna().all()
    moa = plate.obs.set_index("pert_iname")["moa"]
    assert set(moa.loc["trametinib"]) == {"MEK inhibitor"}
    assert set(moa.loc["NVP-BEZ235"]) == {"mTOR inhibitor|PI3K inhibitor"}
    assert plate.obs["moa"].notna().sum() == 255


def test_the_repurposing_table_has_each_compound_once(real):
    table = sg.datasets.repurposing_hub()
    assert len(table) == 6806
    assert table["pert_id"].is_unique
    assert table["pert_id"].str.len().eq(13).all()


def test_samples_of_a_compound_are_one_row(toy, monkeypatch):
    text = (
        b"broad_id\tpert_iname\tclinical_phase\tmoa\ttarget\tpurity\n"
        b"BRD-K00000001-001-01-1\ta\tLaunched\tMEK inhibitor\tMAP2K1\t99\n"
        b"BRD-K00000001-001-02-9\ta\tLaunched\tMEK inhibitor\tMAP2K1\t98\n"
        b"BRD-K00000002-001-01-1\tb\tPhase 1\t\t\t97\n"
    )
    manifest = toy("repurposing_hub", {"table": ("t.tsv", text)})
    monkeypatch.setattr(_manifests, "manifests", lambda: {"repurposing_hub": manifest})
    table = sg.datasets.repurposing_hub()
    assert table["pert_id"].tolist() == ["BRD-K00000001", "BRD-K00000002"]
    assert table["moa"].isna().tolist() == [False, True]


def test_the_published_model_is_ready_to_map(real):
    if not hasattr(sg.models, "SVQVAE"):
        pytest.skip("the S-VQ-VAE model is not there yet")
    model = sg.datasets.svqvae_lincs_pretrained()
    assert len(model.classes) == 75
    assert model.classes[0] == "CP_MEK_INHIBITOR"
    assert list(model.var_names) == sg.datasets.landmarks()["pr_gene_id"].tolist()
    assert tuple(model.codebook().shape) == (75, 1000)


def test_the_namespace_loads_neither_torch_nor_the_network():
    code = "import sys, sigilla.datasets; print({'torch', 'requests', 'pooch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
