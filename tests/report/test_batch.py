"""Many data sets: what fails, what is skipped, what is kept, and what the index says of it."""

from __future__ import annotations

import os
import re

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError, FileError
from sigilla.report import _make

QUICK = {
    "n_splits": 0,
    "n_boot": 2,
    "n_perm": 2,
    "n_jobs": 1,
    "date": None,
    "progress": False,
    "options": {"max_epochs": 1},
}


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Figures are looked at in other tests; here they would only take time."""
    monkeypatch.setattr(_make, "pictures", lambda *_: {})


def data(seed=0, **options):
    return sg.datasets.simulate_lincs(
        n_classes=3, class_sizes=[8, 8, 8], n_genes=12, random_state=seed, **options
    )


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def status(reports):
    return reports.table["status"].to_dict()


# -- failures -------------------------------------------------------------------------------------


def test_what_fails_is_told_and_the_others_are_reported(tmp_path, caplog):
    no_label = data()
    del no_label.obs["pcl"]
    (tmp_path / "text.h5ad").write_text("no HDF5")
    reports = sg.report.pcl_correlation(
        {
            "good": data(),
            "no label": no_label,
            "gone": tmp_path / "gone.h5ad",
            "text": tmp_path / "text.h5ad",
            "also good": data(1),
        },
        tmp_path / "out",
        **QUICK,
    )
    assert status(reports) == {
        "good": "made",
        "no label": "failed",
        "gone": "failed",
        "text": "failed",
        "also good": "made",
    }
    assert reports == [tmp_path / "out" / name / "report.html" for name in ("good", "also-good")]
    page = reports.index_page.read_text("utf8")
    for name, why in {
        "no label": "not found",
        "gone": "does not exist",
        "text": "is no .h5ad file",
    }.items():
        assert why in reports.table.loc[name, "reason"]
        assert why in page
        assert any(record.message.startswith(f"{name}: ") for record in caplog.records)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "index.html",
        "index.csv",
        "good",
        "also-good",
    }


def damaged(folder):
    """Files that open badly, each in its way."""
    data().write_h5ad(folder / "cut.h5ad")
    whole = (folder / "cut.h5ad").read_bytes()
    (folder / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    (folder / "text.h5ad").write_text("no HDF5")
    with h5py.File(folder / "other.h5ad", "w") as file:
        file["x"] = [1, 2, 3]
    data().write_h5ad(folder / "spoilt.h5ad", compression="gzip")
    with h5py.File(folder / "spoilt.h5ad") as file:
        at = file["X"].id.get_chunk_info(0).byte_offset
    with (folder / "spoilt.h5ad").open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 40)
    return [folder / f"{name}.h5ad" for name in ("cut", "text", "other", "spoilt")]


def test_a_damaged_file_is_told_in_words_of_the_reader(tmp_path):
    files = damaged(tmp_path)
    reports = sg.report.pcl_correlation([*files, data()], tmp_path / "out", **QUICK)
    assert reports.table["status"].tolist() == [*["failed"] * 4, "made"]
    reasons = reports.table["reason"][:4]
    for path, reason in zip(files, reasons, strict=True):
        assert reason.startswith(f"inputs={str(path)!r} ")
        assert re.search("; (copy it again, or write it anew|write one with)", reason)
        assert not re.search("synchronous|HDF5|signature|object|filter", reason)


def test_a_file_that_is_being_written_is_told_as_such(tmp_path, monkeypatch):
    data().write_h5ad(tmp_path / "a.h5ad")

    def locked(*_, **__):
        raise BlockingIOError(11, "unable to lock file")

    monkeypatch.setattr("anndata.read_h5ad", locked)
    with pytest.raises(FileError, match=r"a\.h5ad' is being written by another program; try again"):
        sg.report.pcl_correlation(tmp_path / "a.h5ad", tmp_path / "out", **QUICK)


def test_a_table_that_is_not_there_is_named_by_its_argument(tmp_path):
    (tmp_path / "a.gctx").write_bytes(b"")
    release = {"sig_info": tmp_path / "gone.txt"}
    with pytest.raises(FileError, match=r"^sig_info='.*gone\.txt' does not exist"):
        sg.report.pcl_correlation(tmp_path / "a.gctx", tmp_path / "out", release=release, **QUICK)


def test_out_of_memory_is_a_failure_of_one_piece(tmp_path, monkeypatch):
    make = _make.facts

    def facts(adata, *args, **options):
        if adata.n_vars == 11:
            raise MemoryError
        return make(adata, *args, **options)

    monkeypatch.setattr(_make, "facts", facts)
    reports = sg.report.pcl_correlation({"a": data(), "b": data()[:, :11]}, tmp_path, **QUICK)
    assert reports.table["reason"].tolist() == ["", "MemoryError"]


def test_all_failed_is_an_error_that_leaves_the_index(tmp_path):
    gone = [tmp_path / "x.h5ad", tmp_path / "y.h5ad"]
    with pytest.raises(DataError, match=r"no report could be made, 2 failed.*does not exist"):
        sg.report.pcl_correlation(gone, tmp_path / "out", **QUICK)
    assert "does not exist" in (tmp_path / "out" / "index.html").read_text("utf8")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_jobs": 0}, "n_jobs=0 must be .* at least 1; give 1 .* None for one on each core"),
        ({"n_boot": 0}, "n_boot=0"),
        ({"key": "a/b"}, "key='a/b'"),
        ({"options": {"max_epoch": 1}}, "mean 'max_epochs'"),
        ({"options": {"max_epochs": -1}}, "max_epochs=-1"),
        ({"release": {"sig_info": "x.txt"}}, "'sig_info' go with a .gctx"),
        ({"release": {"siginfo": "x.txt"}}, "mean 'sig_info'"),
        ({"release": {"classes": {"a": "b"}}}, r"release\['classes'\] is a dict"),
        ({"date": "yesterday"}, "date='yesterday'"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(wrong, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        sg.report.pcl_correlation([data(), data(1)], tmp_path / "out", **QUICK | wrong)
    assert not (tmp_path / "out").exists()


# -- cell lines -----------------------------------------------------------------------------------


@pytest.fixture
def lines():
    adata = data(cell_lines=["A375"])
    adata.obs["cell_id"] = ["A375", "a/b"] * 12
    adata.obs.loc[adata.obs_names[:3], "cell_id"] = "a b"
    adata.obs.loc[adata.obs_names[3], "cell_id"] = None
    # Five signatures and more of two classes in the first alone.
    adata.obs["pcl"] = pd.Categorical(np.where(np.arange(24) % 4 < 2, "x", "y"))
    return adata


def test_each_cell_line_is_fitted_to_its_own_signatures(lines, tmp_path):
    reports = sg.report.pcl_correlation({"plate": lines}, tmp_path, per="cell_id", **QUICK)
    assert status(reports) == {
        "plate": "made",
        "plate, A375": "made",
        "plate, a b": "skipped",
        "plate, a/b": "made",
    }
    assert "0 of 2 classes have 5 signatures" in reports.table.loc["plate, a b", "reason"]
    page = reports.table.loc["plate, a/b", "page"]
    assert page.parent.parent == tmp_path / "plate" / "cell_id"
    written = ad.read_h5ad(page.parent / "fitted.h5ad")
    own = lines[lines.obs["cell_id"] == "a/b"].copy()
    sg.tl.svqvae(own, max_epochs=1)
    np.testing.assert_array_equal(written.obsm["X_svqvae"], own.obsm["X_svqvae"])


def test_a_fitted_data_set_is_fitted_in_each_line_as_it_was_in_all(lines, tmp_path):
    lines.obs["moa"] = lines.obs.pop("pcl")
    sg.tl.svqvae(lines, "moa", mask_var=np.arange(12) < 7, n_latent=3, max_epochs=1)
    path = tmp_path / "plate.h5ad"
    lines.write_h5ad(path)
    reports = sg.report.pcl_correlation(path, tmp_path / "out", per="cell_id", **QUICK)
    page = reports.table.loc["plate, A375", "page"]
    stored = ad.read_h5ad(page.parent / "fitted.h5ad").uns["svqvae"]
    assert stored["codes"].shape == (2, 3)
    assert len(stored["genes"]) == 7
    assert stored["params"]["label_key"] == "moa"


def test_a_column_that_is_not_there_costs_no_report(tmp_path):
    reports = sg.report.pcl_correlation(data(), tmp_path, per="cell", **QUICK)
    assert status(reports) == {"data set 1": "made", "data set 1, each cell": "failed"}
    assert "did you mean 'cell_id'" in reports.table["reason"].iloc[1]


def test_one_cell_line_is_the_whole_data_set(tmp_path):
    reports = sg.report.pcl_correlation(data(cell_lines=["PC3"]), tmp_path, per="cell_id", **QUICK)
    assert status(reports) == {"data set 1": "made", "data set 1, PC3": "skipped"}


# -- what is finished -----------------------------------------------------------------------------


def test_what_is_finished_is_kept_and_what_changed_is_made_again(tmp_path):
    sets = {"a": data(0), "b": data(1)}
    sg.report.pcl_correlation(sets, tmp_path, **QUICK)
    before = contents(tmp_path)
    assert status(sg.report.pcl_correlation(sets, tmp_path, **QUICK)) == {"a": "kept", "b": "kept"}
    assert contents(tmp_path) == before

    sets["b"].X[0, 0] += 1
    assert status(sg.report.pcl_correlation(sets, tmp_path, **QUICK)) == {"a": "kept", "b": "made"}
    changed = QUICK | {"options": {"max_epochs": 2}}
    assert set(status(sg.report.pcl_correlation(sets, tmp_path, **changed)).values()) == {"made"}


@pytest.mark.parametrize("harm", ["delete", "change", "no manifest", "half a manifest", "version"])
def test_a_damaged_report_is_made_again(harm, tmp_path, monkeypatch):
    sets = {"a": data()}
    options = QUICK | {"per": "pert_type"}
    sg.report.pcl_correlation(sets, tmp_path, **options)
    before = contents(tmp_path)
    folder = tmp_path / "a"
    if harm == "delete":
        (folder / "top_genes.csv").unlink()
    elif harm == "change":
        (folder / "report.html").write_text("short")
    elif harm == "no manifest":
        (folder / "piece.json").unlink()
    elif harm == "half a manifest":
        (folder / "piece.json").write_text('{"made_from": {')
    else:
        monkeypatch.setattr(sg, "__version__", "99")
    (folder / ".report.html.123.part").write_text("left by a killed process")
    assert status(sg.report.pcl_correlation(sets, tmp_path, **options))["a"] == "made"
    after = contents(tmp_path)
    if harm != "version":
        assert after == before
    assert not [p for p in after if p.suffix == ".part"]


def test_a_file_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.h5ad"
    data().write_h5ad(path)
    sg.report.pcl_correlation(path, tmp_path / "out", **QUICK)
    os.utime(path)
    (kept,) = sg.report.pcl_correlation(path, tmp_path / "out", **QUICK).table["status"]
    data(1).write_h5ad(path)
    (made,) = sg.report.pcl_correlation(path, tmp_path / "out", **QUICK).table["status"]
    assert (kept, made) == ("kept", "made")


def test_files_that_a_report_no_longer_has_are_removed(tmp_path):
    adata = data()
    sg.report.pcl_correlation(adata, tmp_path, **QUICK)
    adata.obsm["X_rep"] = np.asarray(adata.X)[:, :5].copy()
    (tmp_path / "mine.txt").write_text("")
    options = {"max_epochs": 1, "use_rep": "X_rep"}
    sg.report.pcl_correlation(adata, tmp_path, **QUICK | {"options": options})
    assert not (tmp_path / "top_genes.csv").exists()
    assert (tmp_path / "mine.txt").exists()


def test_an_interrupt_keeps_what_is_finished(tmp_path, monkeypatch):
    make = _make.facts
    calls = []

    def facts(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return make(*args, **options)

    monkeypatch.setattr(_make, "facts", facts)
    sets = {"a": data(0), "b": data(1)}
    with pytest.raises(KeyboardInterrupt):
        sg.report.pcl_correlation(sets, tmp_path, **QUICK)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert status(sg.report.pcl_correlation(sets, tmp_path, **QUICK)) == {"a": "kept", "b": "made"}


# -- the index ------------------------------------------------------------------------------------


def test_the_index_shows_the_same_numbers_as_its_table(tmp_path):
    reports = sg.report.pcl_correlation(
        {"<b>plate</b>": data(), "=cmd()": data(1), "Ω & co": data(2)},
        tmp_path,
        **QUICK | {"n_splits": 1},
    )
    table = pd.read_csv(tmp_path / "index.csv")
    assert table["piece"].tolist() == ["<b>plate</b>", "'=cmd()", "Ω & co"]
    assert table["signatures"].tolist() == [24, 24, 24]
    np.testing.assert_allclose(table["accuracy"], reports.table["accuracy"])
    assert [tmp_path / link for link in table["report"]] == list(reports)
    page = (tmp_path / "index.html").read_text("utf8")
    assert "&lt;b&gt;plate&lt;/b&gt;" in page
    assert "<b>plate" not in page
    assert 'href="%CE%A9-co/report.html"' in page
    for accuracy in table["accuracy"]:
        assert f"{100 * accuracy:.0f}\N{NO-BREAK SPACE}%" in page
