"""Reports in other processes: the same files, silence, and a worker that dies."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time

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
KILLED = """
import sys
import sigilla as sg

_, scheduler, out, *inputs = sys.argv
sg.report.pcl_correlation(
    inputs, out, scheduler=scheduler, n_splits=0, n_boot=2, n_perm=2, options={"max_epochs": 2},
    date=None,
)
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
    """Somebody else's scheduler, with workers of its own."""
    import dask
    from distributed import LocalCluster

    quiet = {"logging": {"distributed": "critical"}, "distributed.scheduler.allowed-failures": 0}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            silence_logs=logging.CRITICAL + 1,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as started,
    ):
        yield started


def test_two_workers_of_a_scheduler_write_the_files_that_one_process_does(cluster, tmp_path):
    sets = {"a": data(), "b": data(1)}
    sg.report.pcl_correlation(sets, tmp_path / "alone", n_jobs=1, **OPTIONS)
    there = {"scheduler": cluster.scheduler_address} | OPTIONS
    assert len(cluster.workers) == 2
    sg.report.pcl_correlation(sets, tmp_path / "out", **there)
    assert files(tmp_path / "alone") == files(tmp_path / "out")


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


@pytest.fixture
def undrawn(cluster):
    """Each report takes its time in the worker, and draws nothing."""
    from distributed import Client

    def replace():
        from sigilla.report import _make

        _make.pictures = lambda *_: time.sleep(0.3) or {}

    def put_back():
        from sigilla.report import _figures, _make

        _make.pictures = _figures.pictures

    with Client(cluster, set_as_default=False) as client:
        client.run(replace)
        yield client
        client.run(put_back)


def test_a_job_that_is_killed_and_started_again_keeps_what_was_finished(cluster, undrawn, tmp_path):
    def busy():
        from sigilla.report import _dask

        return _dask._alone.locked()

    inputs, out = [tmp_path / f"{i}.h5ad" for i in range(5)], tmp_path / "out"
    for i, path in enumerate(inputs):
        data(i).write_h5ad(path)
    job = [sys.executable, "-c", KILLED, cluster.scheduler_address, out, *inputs]
    killed = subprocess.Popen([str(word) for word in job])
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/piece.json"))) < 2:
        assert killed.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.kill()
    killed.wait()
    # The worker is somebody else's: it finishes what it is at, and is given no more.
    while any(undrawn.run(busy).values()):
        time.sleep(0.05)
    finished = {p.parent.name: files(p.parent) for p in out.glob("*/piece.json")}
    written = {p: p.stat().st_mtime_ns for name in finished for p in (out / name).iterdir()}
    assert 2 <= len(finished) < 5

    reports = sg.report.pcl_correlation(inputs, out, scheduler=cluster.scheduler_address, **OPTIONS)
    expected = {p.stem: "kept" if p.stem in finished else "made" for p in inputs}
    assert reports.table["status"].to_dict() == expected
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert {name: files(out / name) for name in finished} == finished


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
