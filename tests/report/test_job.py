"""Job files: what they say, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import sigilla as sg
from sigilla.errors import DataError, FileError
from sigilla.report import _make
from sigilla.report._job import read_job

JOB = """
out = "reports"
label = "moa"
n_genes = 5
gene_info = "tables/genes.txt"

[options]
max_epochs = 3
n_latent = 2

[data."plate 7"]
input = "plates/7.h5ad"
title = "Plate <7>"
options.n_latent = 4

[data.phase2]
input = "level5.gctx"
label = "pcl"
per = "cell_id"
sig_info = "tables/sig.txt"
classes = ["first.gmt", "second.tsv"]
cell_lines = ["A375"]
"""


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "night.toml"
    path.write_text(JOB)
    return path


def test_what_a_table_says_comes_before_what_all_share(job, tmp_path):
    read = read_job(job)
    assert read.out == tmp_path / "reports"
    plate, phase2 = read.data_sets
    assert plate.name == "plate 7"
    assert plate.source.path == tmp_path / "plates" / "7.h5ad"
    assert plate.source.release == {}
    assert plate.request.label_key == "moa"
    assert plate.request.title == "Plate <7>"
    assert plate.request.options == {"max_epochs": 3, "n_latent": 4}
    assert phase2.request.label_key == "pcl"
    assert phase2.request.per == "cell_id"
    assert phase2.request.n_genes == 5
    assert phase2.request.options == {"max_epochs": 3, "n_latent": 2}
    assert phase2.source.release == {
        "gene_info": tmp_path / "tables" / "genes.txt",
        "sig_info": tmp_path / "tables" / "sig.txt",
        "classes": [tmp_path / "first.gmt", tmp_path / "second.tsv"],
        "cell_lines": ["A375"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('lable = "moa"', r"night\.toml, top level: key='lable' not found; did you mean 'label'\?"),
        ('[data.a]\ninput = "a.h5ad"\nn_gene = 3', r"\[data.'a'\]: key='n_gene' .*'n_genes'"),
        ('[data.a]\ninput = "a.h5ad"\nn_genes = "3"', r"n_genes = '3' must be a whole number"),
        ('[data.a]\ninput = "a.h5ad"\nn_genes = 0', r"\[data.'a'\]: n_genes=0"),
        ('[data.a]\ninput = "a.h5ad"\noptions.epochs = 1', r"\[data.'a'\]: options='epochs'"),
        ('[data.a]\ninput = "a.h5ad"\nsig_info = "s"', "sig_info go with a .gctx"),
        ('[data.a]\nlabel = "pcl"', r"\[data.'a'\] has no input"),
        ('data.a = "a.h5ad"', "data is a table of tables"),
        ('label = "pcl"', "names no data set"),
        ('[data."a b"]\ninput="a.h5ad"\n[data."a/b"]\ninput="b.h5ad"', "of the same name"),
        ('[data.a]\ninput = "a.doc"', "the suffix must be one of"),
        ("label = ", "is no job file"),
        ("random_state = -1\n[data.a]\ninput='a.h5ad'", "l, top level: random_state=-1 must be"),
        ("[data.a]\ninput='a.h5ad'\nrandom_state = -1", r"\[data\.'a'\]: random_state=-1 must"),
        ("options.epochs = 1\n[data.a]\ninput='a.h5ad'", "top level: options='epochs' not found"),
        ("[data.a]\ninput='a.doc'", r"night\.toml, \[data\.'a'\]: inputs='.*a\.doc': the suffix"),
        ("[data.a]\ninput='a.gctx'\nclasses=[1]", r"\[1\] must be text or a list of texts"),
        (
            "sig_info='s'\n[data.a]\ninput='a.h5ad'",
            "level: no data set takes 'sig_info' .* none is",
        ),
        (
            "sig_info='s'\n[data.a]\ninput='a.gctx'\nsig_info='t'",
            "level: no data set takes 'sig_info' from here, as each .gctx input says its own",
        ),
    ],
)
def test_mistakes_are_named_where_they_are(text, message, tmp_path):
    path = tmp_path / "night.toml"
    path.write_text(text)
    with pytest.raises((DataError, FileError), match=message):
        sg.report.pcl_correlation(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_job_file_speaks_for_itself(job, tmp_path):
    with pytest.raises(DataError, match=r"'n_genes', 'release': with a job file, say it in night"):
        sg.report.pcl_correlation(job, n_genes=3, release={"sig_info": "x"})
    with pytest.raises(DataError, match="goes alone"):
        sg.report.pcl_correlation([job, "a.h5ad"], tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        sg.report.pcl_correlation(tmp_path / "none.toml")
    job.write_text('[data.a]\ninput = "a.h5ad"')
    with pytest.raises(DataError, match='add out = "reports"'):
        sg.report.pcl_correlation(job)
    with pytest.raises(DataError, match="out=None"):
        sg.report.pcl_correlation("a.h5ad")


def test_a_release_is_read_with_its_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(_make, "pictures", lambda *_: {})
    release = sg.datasets.simulate_lincs_release(
        tmp_path / "release", n_classes=3, class_sizes=[15] * 3
    )
    tables = {
        name: path.relative_to(tmp_path)
        for name, path in dataclasses.asdict(release).items()
        if name != "gctx"
    }
    told = "\n".join(f'{name} = "{path}"' for name, path in tables.items())
    job = tmp_path / "night.toml"
    job.write_text(
        f'out = "out"\nn_splits = 0\noptions.max_epochs = 1\n{told}\n'
        f'[data.all]\ninput = "{release.gctx.relative_to(tmp_path)}"\n'
        f'[data.some]\ninput = "{release.gctx.relative_to(tmp_path)}"\n'
        'cell_lines = ["A375", "MCF7"]\nper = "cell_id"\n'
    )
    reports = sg.report.pcl_correlation(job, n_jobs=1, progress=False)
    assert reports.index_page == tmp_path / "out" / "index.html"
    assert reports.table.loc["all", "signatures"] > reports.table.loc["some", "signatures"]
    lines = reports.table.loc[["some, A375", "some, MCF7"], "status"]
    assert set(lines) <= {"made", "skipped"}
    page = reports[0].read_text("utf8")
    assert "SHA-256 of sig_info: " in page
    assert str(tmp_path) not in page

    # A changed table is a changed data set.
    assert "made" not in set(sg.report.pcl_correlation(job, n_jobs=1).table["status"])
    before = read_job(job).data_sets[0].checksums()
    with (tmp_path / tables["pert_info"]).open("ab") as file:
        file.write(b"0")
    after = read_job(job).data_sets[0].checksums()
    assert before.keys() == after.keys()
    assert [name.split(":")[0] for name in before if before[name] != after[name]] == ["pert_info"]


def test_the_job_file_of_the_docs_is_one(tmp_path):
    docs = Path(__file__).parents[2] / "docs" / "command-line.md"
    (example,) = re.findall(r"```toml\n(.*?)```", docs.read_text("utf8"), flags=re.DOTALL)
    path = tmp_path / "nightly.toml"
    path.write_text(example, encoding="utf8")
    plate, phase2 = read_job(path).data_sets
    assert (plate.request.label_key, phase2.request.label_key) == ("moa", "pcl")
    assert phase2.request.options == {"max_epochs": 100, "n_latent": 64}
