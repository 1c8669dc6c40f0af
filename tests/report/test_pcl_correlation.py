"""Inputs, fitting, and what happens when something is wrong."""

from __future__ import annotations

import datetime as dt
import hashlib

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import sigilla as sg
from sigilla.errors import DataError, FileError

QUICK = {"n_splits": 0, "date": None, "progress": False}


@pytest.fixture
def small():
    return sg.datasets.simulate_lincs(n_classes=3, class_sizes=[8, 8, 8], n_genes=12)


def test_the_same_data_give_the_same_page(fitted, tmp_path):
    pages = [
        sg.report.pcl_correlation(fitted, tmp_path / name, **QUICK)[0].read_bytes()
        for name in ("one", "two")
    ]
    assert pages[0] == pages[1]


def test_data_that_are_not_fitted_are_fitted_and_left_as_they_were(small, tmp_path):
    small.obs["moa"] = small.obs.pop("pcl")
    before = small.copy()
    sg.report.pcl_correlation(
        small, tmp_path, label_key="moa", options={"max_epochs": 2, "n_latent": 2}, **QUICK
    )
    assert "svqvae" not in small.uns
    assert list(small.obs) == list(before.obs)
    import anndata as ad

    stored = ad.read_h5ad(tmp_path / "fitted.h5ad").uns["svqvae"]
    assert stored["params"]["label_key"] == "moa"
    assert stored["codes"].shape == (3, 2)


def test_a_file_is_named_with_its_checksum(small, tmp_path):
    path = tmp_path / "plate 7.h5ad"
    sg.tl.svqvae(small, max_epochs=1)
    small.write_h5ad(path)
    (page,) = sg.report.pcl_correlation(
        path, tmp_path / "out", n_splits=0, date=dt.date(2026, 1, 31)
    )
    text = page.read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert "plate 7.h5ad" in text
    assert "2026-01-31" in text
    assert str(tmp_path) not in text


def test_several_data_sets_get_a_folder_each(small, tmp_path):
    sg.tl.svqvae(small, max_epochs=1)
    pages = sg.report.pcl_correlation({"a/b": small, "b": small}, tmp_path, n_jobs=1, **QUICK)
    assert pages == [tmp_path / "a-b" / "report.html", tmp_path / "b" / "report.html"]
    assert all(p.is_file() for p in pages)


def test_a_mapped_data_set_without_labels_is_reported_too(small, tmp_path):
    query = small[::2].copy()
    sg.tl.svqvae(small, max_epochs=1)
    sg.tl.map_query(query, small)
    del query.obs["pcl"]
    (page,) = sg.report.pcl_correlation(query, tmp_path, date=None)
    text = page.read_text(encoding="utf-8")
    assert "was not fitted to labels" in text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.obs.pop("pcl"), KeyError, "label_key='pcl' not found"),
        (lambda a: a.obs.__setitem__("pcl", None), DataError, "no label at all"),
        (lambda a: a.obs.__setitem__("pcl", "one"), DataError, "one class"),
        (lambda a: a.X.__setitem__((2, 3), np.nan), DataError, "NaN or infinite"),
    ],
)
def test_bad_data_write_nothing(small, tmp_path, change, error, message):
    change(small)
    with pytest.raises(error, match=message):
        sg.report.pcl_correlation(small, tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


def test_options_out_of_bounds_write_nothing(small, tmp_path):
    for wrong in ({"n_genes": 0}, {"n_splits": 6}, {"space": "gene"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            sg.report.pcl_correlation(
                small, tmp_path / "out", options={"max_epochs": 1}, **{**QUICK, **wrong}
            )
    assert not (tmp_path / "out").exists()


def test_another_label_than_the_fitted_one_is_refused(fitted, tmp_path):
    with pytest.raises(DataError, match=r"label_key='moa'.*fitted to obs"):
        sg.report.pcl_correlation(fitted, tmp_path / "out", label_key="moa", **QUICK)


def test_inputs_that_cannot_be_read_say_why(tmp_path):
    (tmp_path / "x.gctx").write_text("")
    (tmp_path / "text.h5ad").write_text("no HDF5")
    (tmp_path / "x.doc").write_text("")
    for name, message in {
        "missing.h5ad": "does not exist",
        "x.gctx": "x.gctx",
        "text.h5ad": "is no .h5ad file",
        "x.doc": "suffix must be one of '.h5ad', '.gctx', '.gct'",
    }.items():
        with pytest.raises(FileError, match=message):
            sg.report.pcl_correlation(tmp_path / name, tmp_path / "out", **QUICK)
    with pytest.raises(DataError, match="inputs is empty"):
        sg.report.pcl_correlation([], tmp_path / "out")
    with pytest.raises(TypeError, match="inputs=7"):
        sg.report.pcl_correlation(7, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_inputs_of_one_name_are_refused(small, tmp_path):
    with pytest.raises(DataError, match="another of the same name"):
        sg.report.pcl_correlation({"a b": small, "a/b": small}, tmp_path / "out")


def test_out_must_be_a_folder(fitted, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        sg.report.pcl_correlation(fitted, tmp_path / "file", **QUICK)
    with pytest.raises(FileError, match="cannot be made a folder"):
        sg.report.pcl_correlation(fitted, tmp_path / "file" / "below", **QUICK)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_write_that_fails_leaves_the_former_report_whole(fitted, tmp_path, monkeypatch):
    sg.report.pcl_correlation(fitted, tmp_path, title="former", **QUICK)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(fitted), "write_h5ad", full_disk)
    with pytest.raises(FileError, match=r"out=.*No space left"):
        sg.report.pcl_correlation(fitted, tmp_path, title="later", **QUICK)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_write_that_fails_leaves_no_new_folder(fitted, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(fitted), "write_h5ad", full_disk)
    with pytest.raises(FileError, match="No space left"):
        sg.report.pcl_correlation(fitted, tmp_path / "new" / "out", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_method_without_codes_has_no_report(small, tmp_path):
    sg.tl.vae(small, max_epochs=1)
    with pytest.raises(DataError, match="has no codes"):
        sg.report.pcl_correlation(small, tmp_path / "out", key="vae", **QUICK)
    assert not (tmp_path / "out").exists()


def test_codes_without_labels_or_genes_are_reported_by_what_they_have(small, tmp_path):
    sg.tl.vqvae(small, n_codes=4, max_epochs=1)
    small.obsm["X_rep"] = np.asarray(small.X)[:, :5].copy()
    sg.tl.svqvae(small, use_rep="X_rep", max_epochs=1)
    (codes,) = sg.report.pcl_correlation(small, tmp_path / "codes", key="vqvae", **QUICK)
    (no_genes,) = sg.report.pcl_correlation(small, tmp_path / "rep", **QUICK)
    assert "Signatures without a class" not in codes.read_text(encoding="utf-8")
    assert "Genes that make a class" not in no_genes.read_text(encoding="utf-8")
    assert not (tmp_path / "rep" / "top_genes.csv").exists()


def test_a_notebook_goes_on_showing_figures_after_a_report(fitted, tmp_path, monkeypatch):
    """A notebook's backend starts with the first figure, and turns interactive mode on."""
    figure = plt.figure

    def first(*args, **options):
        mpl.rcParams["interactive"] = True
        return figure(*args, **options)

    monkeypatch.setattr(plt, "figure", first)
    with mpl.rc_context():
        sg.report.pcl_correlation(fitted, tmp_path, **QUICK)
        assert mpl.is_interactive()
