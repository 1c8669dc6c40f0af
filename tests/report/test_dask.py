"""Reports in other processes: the same files, silence, and a worker that dies."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys

import pytest

import sigilla as sg
from sigilla.errors import FileError

# As a user writes it who has never heard of a __main__ guard.
SCRIPT = """
import sys
import sigilla as sg

sets = {
    "a": sg.datasets.simulate_lincs(n_classes=3, class_sizes=[8] * 3, n_genes=12),
    "b": sys.argv[1],
    "gone": "gone.h5ad",
}
reports = sg.report.pcl_correlation(
    sets, "out", n_splits=0, n_boot=2, n_perm=2, options={"max_epochs": 2}, date=None, n_jobs=2
)
print(reports.table["status"].to_json())
"""
OPTIONS = {
    "n_splits": 0,
    "n_boot": 2,
    "n_perm": 2,
    "options": {"max_epochs": 2},
    "date": None,
    "progress": False,
}


def data(seed=0):
    return sg.datasets.simulate_lincs(
        n_classes=3, class_sizes=[8] * 3, n_genes=12, random_state=seed
    )


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_processes_of_this_machine_write_the_same_files_and_say_nothing(tmp_path):
    data(1).write_h5ad(tmp_path / "b.h5ad")
    (tmp_path / "night.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "night.py", "b.h5ad"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"a": "made", "b": "made", "gone": "failed"}
    sets = {"a": data(), "b": tmp_path / "b.h5ad", "gone": tmp_path / "gone.h5ad"}
    sg.report.pcl_correlation(sets, tmp_path / "alone", n_jobs=1, **OPTIONS)
    ours, theirs = files(tmp_path / "alone"), files(tmp_path / "out")
    assert ours.keys() == theirs.keys()
    different = {str(path) for path in ours if ours[path] != theirs[path]}
    assert different <= {"index.html", "index.csv"}  # these name the missing file by its path


@pytest.fixture(scope="module")
def cluster():
    """Somebody else's scheduler, with a worker of its own."""
    import dask
    from distributed import LocalCluster

    quiet = {"logging": {"distributed": "critical"}, "distributed.scheduler.allowed-failures": 0}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            silence_logs=logging.CRITICAL + 1,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as started,
    ):
        yield started


def test_a_worker_that_dies_takes_only_its_own_piece(cluster, tmp_path, caplog):
    from distributed import Client

    def doom():
        # By value to the worker, where who makes the piece called "doomed" dies of it.
        from sigilla.report import _dask

        make = _dask.make

        def dying(piece, **options):
            if piece.name == "doomed":
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # at once
            _dask.logger.warning("a warning")
            return make(piece, **options)

        _dask.make = dying

    with Client(cluster, set_as_default=False) as client:
        client.run(doom)
    sets = {"before": data(1), "doomed": data(0), "after": data(2)}
    reports = sg.report.pcl_correlation(
        sets, tmp_path, scheduler=cluster.scheduler_address, **OPTIONS
    )
    assert reports.table["status"].tolist() == ["made", "failed", "made"]
    assert "died" in reports.table.loc["doomed", "reason"]
    assert not (tmp_path / "doomed").exists()
    assert "before: a warning" in [record.message for record in caplog.records]


def test_one_report_can_be_made_by_a_scheduler_too(cluster, tmp_path):
    (page,) = sg.report.pcl_correlation(
        data(), tmp_path / "there", scheduler=cluster.scheduler_address, **OPTIONS
    )
    sg.report.pcl_correlation(data(), tmp_path / "here", **OPTIONS)
    assert page == tmp_path / "there" / "report.html"
    assert files(tmp_path / "there") == files(tmp_path / "here")
    no_label = data()
    del no_label.obs["pcl"]
    with pytest.raises(KeyError, match="label_key='pcl' not found"):
        sg.report.pcl_correlation(
            no_label, tmp_path / "no", scheduler=cluster.scheduler_address, **OPTIONS
        )


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    from sigilla.report import _dask

    monkeypatch.setattr(_dask, "PATIENCE", "100ms")
    with pytest.raises(FileError, match=r"scheduler='tcp://127.0.0.1:9' does not answer"):
        sg.report.pcl_correlation(data(), tmp_path, scheduler="tcp://127.0.0.1:9", **OPTIONS)
