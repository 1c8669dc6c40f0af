"""A job that is killed and started again ends as one that nobody disturbed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import anndata

import sigilla as sg
from sigilla.report import _make

JOB = """
import sys
from sigilla.report import _make

_make.pictures = lambda *_: {}
sys.path.insert(0, sys.argv[1])
from test_interrupted import report

report(sys.argv[2])
"""


def report(out):
    """The status of six data sets, reported on into this folder."""
    sets = {
        f"plate {i}": sg.datasets.simulate_lincs(
            n_classes=3, class_sizes=[8] * 3, n_genes=12, random_state=i
        )
        for i in range(6)
    }
    reports = sg.report.pcl_correlation(
        sets,
        out,
        n_splits=0,
        n_boot=2,
        n_perm=2,
        options={"max_epochs": 2},
        date=None,
        n_jobs=1,
        progress=False,
    )
    return reports.table["status"].to_dict()


def wait_for_pieces(process, out, n):
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/piece.json"))) < n:
        assert process.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_in_the_middle_and_started_again(tmp_path, monkeypatch):
    # Pictures take most of the time, and other tests look at them.
    monkeypatch.setattr(_make, "pictures", lambda *_: {})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    killed = subprocess.Popen([sys.executable, "-c", JOB, str(Path(__file__).parent), str(broken)])
    wait_for_pieces(killed, broken, 2)
    killed.kill()
    killed.wait()
    finished = {p.parent.name: p.stat().st_mtime_ns for p in broken.glob("*/piece.json")}
    assert 2 <= len(finished) < 6

    status = report(broken)
    kept = {name.replace(" ", "-") for name, what in status.items() if what == "kept"}
    assert kept == set(finished)
    assert sorted(status.values()) == ["kept"] * len(finished) + ["made"] * (6 - len(finished))
    for name, written in finished.items():
        for path in (broken / name).iterdir():
            assert path.stat().st_mtime_ns <= written

    assert set(report(whole).values()) == {"made"}
    files = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    again = {p.relative_to(broken): p.read_bytes() for p in broken.rglob("*") if p.is_file()}
    assert files == again
    assert len(files) >= 6 * 6 + 2
    last = anndata.read_h5ad(broken / "plate-5" / "fitted.h5ad")
    assert sg.get.code_correlation(last).shape == (3, 3)
