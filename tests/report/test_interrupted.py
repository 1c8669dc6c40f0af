"""A job that is killed and started again ends as one that nobody disturbed."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import anndata

import sigilla as sg

JOB = """
import sys
import sigilla as sg
from sigilla.report import _make

_make.pictures = lambda *_: {}  # they take most of the time, and other tests look at them
sets = {
    f"plate {i}": sg.datasets.simulate_lincs(
        n_classes=3, class_sizes=[8] * 3, n_genes=12, random_state=i
    )
    for i in range(10)
}
reports = sg.report.pcl_correlation(
    sets,
    sys.argv[1],
    n_splits=0,
    n_boot=2,
    n_perm=2,
    options={"max_epochs": 2},
    date=None,
    n_jobs=1,
)
print(reports.table["status"].to_json())
"""


def start(out):
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(out)], stdout=subprocess.PIPE, text=True
    )


def wait_for_pieces(process, out, n):
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/piece.json"))) < n:
        assert process.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_in_the_middle_and_started_again(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    undisturbed, killed = start(whole), start(broken)
    wait_for_pieces(killed, broken, 4)
    killed.kill()
    killed.communicate()
    finished = {p.parent.name: p.stat().st_mtime_ns for p in broken.glob("*/piece.json")}
    assert 4 <= len(finished) < 10

    status = json.loads(start(broken).communicate()[0])
    kept = {name.replace(" ", "-") for name, what in status.items() if what == "kept"}
    assert kept == set(finished)
    assert sorted(status.values()) == ["kept"] * len(finished) + ["made"] * (10 - len(finished))
    for name, written in finished.items():
        for path in (broken / name).iterdir():
            assert path.stat().st_mtime_ns <= written

    assert set(json.loads(undisturbed.communicate()[0]).values()) == {"made"}
    files = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    again = {p.relative_to(broken): p.read_bytes() for p in broken.rglob("*") if p.is_file()}
    assert files == again
    assert len(files) >= 10 * 6 + 2
    last = anndata.read_h5ad(broken / "plate-9" / "fitted.h5ad")
    assert sg.get.code_correlation(last).shape == (3, 3)
