"""The command line reads what sg.io reads, and reports on many files."""

from __future__ import annotations

import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import io, sparse

import sigilla as sg
from sigilla.cli import main
from sigilla.report import _make


def run(*words, ends_with=0):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == ends_with


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- text matrices and single cells ---------------------------------------------------------------


@pytest.fixture
def matrix(folder):
    """Genes x samples as text, with a class for each sample in a file of its own."""
    rng = np.random.default_rng(0)
    label = np.repeat(["ALL", "AML"], 10)
    values = rng.normal(size=(30, 20)) + 3 * (label == "AML") * (np.arange(30) < 15)[:, None]
    names = [f"s{i}" for i in range(20)]
    table = pd.DataFrame(values, index=[f"g{i}" for i in range(30)], columns=names)
    table.to_csv("cancer.csv")
    table.T.to_csv("cancer_t.tsv.gz", sep="\t")
    (folder / "classes.txt").write_text("\n".join(label))
    return table


def test_a_text_matrix_is_fitted_with_labels_of_their_own(matrix):
    run("fit", "svqvae", "cancer.csv", "--labels", "classes.txt", "--label", "label",
        "--max-epochs", 1, "--out", "fitted.h5ad")  # fmt: skip
    written = anndata.read_h5ad("fitted.h5ad")
    assert written.uns["svqvae"]["classes"].tolist() == ["ALL", "AML"]
    np.testing.assert_allclose(written.X, matrix.T, rtol=1e-6)


def test_genes_may_stand_in_columns(matrix):
    run("fit", "ifpca", "cancer_t.tsv.gz", "--genes", "columns", "--n-clusters", 2, "--no-select",
        "--out", "clustered.h5ad")  # fmt: skip
    written = anndata.read_h5ad("clustered.h5ad")
    assert written.var_names.tolist() == matrix.index.tolist()
    assert written.obs["ifpca"].nunique() == 2


def test_text_becomes_gctx_and_a_query(matrix):
    run("convert", "cancer.csv", "cancer.gctx")
    np.testing.assert_allclose(sg.io.read_gctx("cancer.gctx").X, matrix.T, rtol=1e-6)
    reference = sg.io.read_table("cancer.csv", labels="classes.txt")
    sg.tl.svqvae(reference, "label", max_epochs=1)
    reference.write_h5ad("reference.h5ad")
    run("map", "cancer.csv", "--reference", "reference.h5ad", "--out", "mapped.h5ad")
    assert "svqvae" in anndata.read_h5ad("mapped.h5ad").obs


def test_single_cells_are_read_from_a_10x_folder(folder):
    counts = sparse.csc_matrix(np.random.default_rng(0).poisson(1, size=(5, 8)))
    (folder / "10x").mkdir()
    io.mmwrite(folder / "10x" / "matrix.mtx", counts)
    (folder / "10x" / "genes.tsv").write_text("".join(f"ENS{i}\tG{i}\n" for i in range(5)))
    (folder / "10x" / "barcodes.tsv").write_text("".join(f"cell{i}\n" for i in range(8)))
    for number, name in enumerate(("10x", "10x/matrix.mtx")):
        run("convert", name, f"{number}.h5ad")
        cells = anndata.read_h5ad(f"{number}.h5ad")
        assert cells.var_names.tolist() == [f"G{i}" for i in range(5)]
        np.testing.assert_array_equal(cells.layers["counts"].toarray(), counts.T.toarray())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.h5ad", "--labels", "classes.txt"], "--labels goes with a text matrix or single cell"),
        (["cancer.csv", "--sig-info", "classes.txt"], "--sig-info goes with a .gctx"),
        (["cancer.csv", "--cell-line", "A375"], "--cell-line goes with a .gctx"),
        (["cancer.csv", "--labels", "none.txt"], "none.txt does not exist"),
    ],
)
def test_options_of_other_files_are_refused(words, message, matrix, capsys):
    anndata.AnnData(np.ones((2, 2), dtype="float32")).write_h5ad("in.h5ad")
    run("fit", "ifpca", *words, "--out", "out.h5ad", ends_with=1)
    assert message in capsys.readouterr().err


# -- reports on many files ------------------------------------------------------------------------


@pytest.fixture
def plates(folder, monkeypatch):
    monkeypatch.setattr(_make, "pictures", lambda *_: {})
    for i in range(2):
        adata = sg.datasets.simulate_lincs(
            n_classes=3, class_sizes=[8] * 3, n_genes=12, random_state=i
        )
        adata.obs["moa"] = adata.obs.pop("pcl")
        sg.tl.svqvae(adata, "moa", max_epochs=1)
        adata.write_h5ad(f"plate{i}.h5ad")
    return folder


def test_a_failure_sets_the_exit_code_and_is_named(plates, capsys):
    run("report", "plate0.h5ad", "gone.h5ad", "plate1.h5ad", "--n-jobs", 1, "--out", "out",
        ends_with=1)  # fmt: skip
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["Report: out/index.html"]
    assert re.search(r"^ERROR: gone: .*gone.h5ad' does not exist$", shown.err, re.MULTILINE)
    assert "2 made, 1 failed" in shown.err
    assert (plates / "out" / "plate1" / "report.html").is_file()


def test_what_is_asked_of_a_report_reaches_it(plates):
    run("report", "plate0.h5ad", "--out", "out", "--title", "Plate <0>", "--n-splits", 0,
        "--n-boot", 3, "--n-perm", 4, "--random-state", 5)  # fmt: skip
    made_from = json.loads((plates / "out" / "piece.json").read_text())["made_from"]
    asked = {"title": "Plate <0>", "n_splits": 0, "n_boot": 3, "n_perm": 4, "random_state": 5}
    assert asked.items() <= made_from["request"].items()
    assert "<h1>Plate &lt;0&gt;</h1>" in (plates / "out" / "report.html").read_text("utf8")


def test_a_number_outside_its_bounds_is_told_in_one_line(plates, capsys):
    run("report", "plate0.h5ad", "--out", "out", "--random-state", -1, ends_with=1)
    assert "random_state=-1 must be a whole number from 0" in capsys.readouterr().err
    assert not (plates / "out").exists()


def test_a_job_file_is_an_input(plates, capsys):
    (plates / "night.toml").write_text(
        'out = "out"\nlabel = "moa"\nn_splits = 0\n'
        '[data.first]\ninput = "plate0.h5ad"\n[data.second]\ninput = "plate1.h5ad"\n'
    )
    run("report", "night.toml", "--n-jobs", 1)
    run("report", "night.toml", "--n-jobs", 1)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["Report: out/index.html"] * 2
    assert "2 made" in shown.err
    assert "2 kept" in shown.err
    run("report", "night.toml", "--label", "pcl", ends_with=1)
    assert "say it in night.toml" in capsys.readouterr().err
