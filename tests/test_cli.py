"""The command line: each command does what its API call does, and says clearly what went wrong."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.cli import main
from sigilla.models import METHODS


@pytest.fixture(scope="module")
def small():
    return sg.datasets.simulate_lincs(n_classes=4, class_sizes=[20] * 4, n_genes=40, n_vehicle=5)


@pytest.fixture
def folder(tmp_path, small, monkeypatch):
    """A working folder with one input."""
    monkeypatch.chdir(tmp_path)
    small.write_h5ad(tmp_path / "in.h5ad")
    return tmp_path


@pytest.fixture(scope="module")
def fitted(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("fitted") / "fitted.h5ad"
    adata = small.copy()
    sg.tl.svqvae(adata, max_epochs=2)
    adata.write_h5ad(path)
    return path


def run(*words, ends_with=0):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == ends_with


# -- help -----------------------------------------------------------------------------------------


def test_help_names_every_command(capsys):
    run("--help")
    shown = capsys.readouterr().out
    for command in ("demo", "fit", "map", "report", "convert", "datasets"):
        assert re.search(rf"^\W*{command}\b", shown, flags=re.MULTILINE)


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom sigilla.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print('heavy:', [m for m in ('torch', 'scanpy', 'anndata', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize("command", ["demo", "map", "report", "convert", "datasets"])
def test_every_command_explains_itself(command, capsys):
    run(command, "--help")
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", METHODS)
def test_a_method_shows_each_of_its_options_as_a_flag(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run("fit", name, "--help")
    shown = capsys.readouterr().out
    for field in dataclasses.fields(METHODS[name].Config):
        assert f"--{field.name.replace('_', '-')} " in shown
    assert ("--label " in shown) == METHODS[name].uses_labels
    assert "``" not in shown


@pytest.mark.parametrize("name", ["ifpca", "ifvae"])
def test_clustering_verbs_show_their_options_too(name, capsys):
    run("fit", name, "--help")
    shown = capsys.readouterr().out
    for flag in ("--n-clusters", "--null", "--no-select", "--no-scale", "--n-init"):
        assert flag in shown
    assert "``" not in shown
    assert ":func:" not in shown


# -- fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_fit_writes_what_the_verb_stores(name, folder, small, capsys):
    label = ["--label", "pcl"] if METHODS[name].uses_labels else []
    options = ["--max-epochs", 2, "--random-state", 3, "--key-added", "mine"]
    run("fit", name, "in.h5ad", *label, "--out", "out.h5ad", *options)
    written = anndata.read_h5ad("out.h5ad")
    expected = getattr(sg.tl, name)(
        small, max_epochs=2, random_state=3, key_added="mine", copy=True
    )
    np.testing.assert_array_equal(written.obsm["X_mine"], expected.obsm["X_mine"])
    assert written.uns["mine"]["params"]["max_epochs"] == 2
    assert capsys.readouterr().out == ""


def test_fit_clusters_without_labels(folder, small):
    run("fit", "ifpca", "in.h5ad", "--n-clusters", 4, "--no-select", "--out", "out.h5ad")
    expected = sg.tl.ifpca(small, 4, select=False, copy=True)
    written = anndata.read_h5ad("out.h5ad")
    assert written.obs["ifpca"].tolist() == expected.obs["ifpca"].tolist()


def test_fit_reads_a_release_with_its_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    release = sg.datasets.simulate_lincs_release("release", n_classes=3, class_sizes=[15] * 3)
    paths = dataclasses.asdict(release)
    tables = [w for n, p in paths.items() if n != "gctx" for w in (f"--{n.replace('_', '-')}", p)]
    keep = ["--cell-line", "A375", "--cell-line", "MCF7", "--exclude-pert", "DMSO"]
    run("fit", "vae", release.gctx, *tables, *keep, "--out", "out.h5ad", "--max-epochs", 1)
    expected = sg.io.read_lincs(**paths, cell_lines=["A375", "MCF7"])
    written = anndata.read_h5ad("out.h5ad")
    pd.testing.assert_index_equal(written.obs_names, expected.obs_names)
    np.testing.assert_array_equal(written.X, expected.X)


# -- map, report, convert, data sets, demo --------------------------------------------------------


def test_map_annotates_with_a_fitted_file(folder, fitted, small, capsys):
    run("map", "in.h5ad", "--reference", fitted, "--out", "mapped.h5ad")
    mapped = anndata.read_h5ad("mapped.h5ad")
    expected = sg.tl.map_query(small, anndata.read_h5ad(fitted), copy=True)
    assert mapped.obs["svqvae"].astype(str).tolist() == expected.obs["svqvae"].astype(str).tolist()
    told = capsys.readouterr()
    counted = told.out.split()
    assert sum(int(word) for word in counted[::2]) == small.n_obs
    assert f"nearest codes of {small.n_obs} signatures: {len(counted) // 2} classes" in told.err


def test_map_annotates_with_a_saved_model(folder, fitted):
    sg.get.model(anndata.read_h5ad(fitted)).save("model.safetensors")
    run("map", "in.h5ad", "--reference", "model.safetensors", "--out", "mapped.h5ad")
    assert "svqvae" in anndata.read_h5ad("mapped.h5ad").obs


def test_map_takes_the_published_code_book_by_default(tmp_path, mirror, monkeypatch, capsys):
    plate = mirror("lincs/test_l1000_highprecision_n377x978.gctx")
    mirror("pretrained/S_VQ_VAE_encode.pth")
    monkeypatch.chdir(tmp_path)
    run("map", plate, "--out", "mapped.h5ad", ends_with=1)  # its ids are of probes
    assert "gene_key='pr_gene_id'" in capsys.readouterr().err
    run("map", plate, "--gene-key", "pr_gene_id", "--out", "mapped.h5ad")
    assert anndata.read_h5ad("mapped.h5ad").obsm["svqvae_distances"].shape == (377, 75)
    assert "INHIBITOR" in capsys.readouterr().out


def test_report_names_its_page(folder, fitted, capsys):
    run("report", fitted, "--out", "report")
    page = folder / capsys.readouterr().out.splitlines()[-1].removeprefix("Report: ")
    assert page.suffix == ".html"
    assert "<html" in page.read_text()


def test_convert_there_and_back(folder, small):
    run("convert", "in.h5ad", "there.gctx")
    run("convert", "there.gctx", "there.gct")
    run("convert", "there.gct", "back.h5ad")
    back = anndata.read_h5ad("back.h5ad")
    assert back.obs_names.tolist() == small.obs_names.tolist()
    np.testing.assert_allclose(back.X, small.X, rtol=1e-3, atol=1e-3)


def test_datasets_are_listed_by_name(capsys):
    run("datasets", "list")
    shown = capsys.readouterr().out
    for name in sg.datasets.available().index:
        assert re.search(rf"^{name}\b", shown, flags=re.MULTILINE)


def test_datasets_fetch_says_where_the_files_are(mirror, capsys):
    plate = mirror("lincs/test_l1000_highprecision_n377x978.gctx")
    run("datasets", "fetch", "l1000_plate")
    assert str(plate) in capsys.readouterr().out


def test_demo_ends_by_naming_a_report_in_which_every_class_can_be_tested(
    tmp_path, monkeypatch, capsys
):
    simulate, asked = sg.datasets.simulate_lincs_release, {}

    def simulate_less(out, **options):
        asked.update(options)
        return simulate(out, n_classes=4, class_sizes=[25] * 4)

    monkeypatch.setattr(sg.datasets, "simulate_lincs_release", simulate_less)
    run("demo", "--out", tmp_path / "demo")
    page = capsys.readouterr().out.splitlines()[-1].removeprefix("Report: ")
    assert page.startswith(str(tmp_path))
    assert "F01a" in Path(page).read_text("utf8")
    # A class of one compound could not be tested.
    obs = sg.datasets.simulate_lincs(**asked, n_genes=20).obs
    assert obs.groupby("pcl", observed=True)["pert_id"].nunique().min() > 1


# -- errors ---------------------------------------------------------------------------------------


MISTAKES = {
    "no such file": (["convert", "nowhere.gctx", "out.h5ad"], "nowhere.gctx does not exist"),
    "a text file": (["convert", "text.gctx", "out.h5ad"], "text.gctx.*is text"),
    "half a file": (["fit", "vae", "half.h5ad", "--out", "out.h5ad"], "half.h5ad is not a whole"),
    "a suffix to read": (["convert", "notes.doc", "out.h5ad"], "notes.doc.*suffix"),
    "a suffix to write": (["convert", "in.h5ad", "out.doc"], "out.doc.*suffix"),
    "a folder that is not there": (
        ["fit", "vae", "in.h5ad", "--out", "no/out.h5ad"],
        "no/out.h5ad cannot be written",
    ),
    "an unknown method": (["fit", "svqvea", "in.h5ad", "--out", "out.h5ad"], "mean 'svqvae'"),
    "an unknown label": (
        ["fit", "svqvae", "in.h5ad", "--label", "plc", "--out", "out.h5ad"],
        "mean 'pcl'",
    ),
    "an option out of bounds": (
        ["fit", "vae", "in.h5ad", "--out", "out.h5ad", "--n-latent", "0"],
        "n_latent=0 must be >= 1",
    ),
    "tables of another file": (
        ["fit", "vae", "in.h5ad", "--sig-info", "text.gctx", "--out", "out.h5ad"],
        "--sig-info goes with a .gctx",
    ),
    "an unknown data set": (["datasets", "fetch", "leukaemia"], "mean 'leukemia'"),
    "a reference of other genes": (
        ["map", "other.h5ad", "--reference", "FITTED", "--out", "out.h5ad"],
        "gene",
    ),
    "a report on nothing": (["report", "nowhere.h5ad", "--out", "out"], "nowhere.h5ad"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(mistake, folder, fitted, small, capsys):
    words, message = MISTAKES[mistake]
    (folder / "text.gctx").write_text("not a matrix\n")
    (folder / "notes.doc").write_text("")
    whole = (folder / "in.h5ad").read_bytes()
    (folder / "half.h5ad").write_bytes(whole[: len(whole) // 2])
    other = small.copy()
    other.var_names = [f"other{i}" for i in range(other.n_vars)]
    other.write_h5ad(folder / "other.h5ad")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    run(*(fitted if word == "FITTED" else word for word in words), ends_with=1)

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    (said,) = [line for line in shown.err.splitlines() if line.startswith("sigilla: ")]
    assert re.search(message, said)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_debug_shows_where_an_error_came_from(folder):
    with pytest.raises(OSError, match="does not exist"):
        main(["--debug", "convert", "nowhere.gctx", "out.h5ad"])


def test_the_command_is_installed():
    from importlib.metadata import entry_points

    (command,) = entry_points(group="console_scripts", name="sigilla")
    assert inspect.unwrap(command.load()) is main
