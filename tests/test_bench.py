"""The benchmarks: reachable from the command line, and right in what they count."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sigilla.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def clustering():
    return runpy.run_path(str(ROOT / "benchmarks" / "clustering.py"))


def run(*words, ends_with=0):
    with pytest.raises(SystemExit) as end:
        main(["bench", *map(str, words)])
    assert end.value.code == ends_with


def test_every_script_is_a_command_with_its_first_line(capsys):
    run("--help")
    shown = capsys.readouterr().out
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert (path.stem in shown) != path.stem.startswith("_")
    assert "Subject clustering" in shown


def test_options_and_help_go_to_the_script(capsys):
    run("clustering", "--help")
    assert "--quick" in capsys.readouterr().out
    run("clustering", "--sets", "brian", ends_with=2)
    assert "'brian' not found; did you mean 'brain'?" in capsys.readouterr().err
    run("clustring", ends_with=1)
    assert "did you mean 'clustering'?" in capsys.readouterr().err


def test_a_set_is_run_once_and_its_table_kept(tmp_path, mirror, capsys):
    mirror("microarray/colon.h5ad")
    words = ("clustering", "--sets", "colon", "--methods", "IF-PCA", "PCA", "--seeds", "1")
    run(*words, "--out", tmp_path)
    assert "25 of 62" in capsys.readouterr().out
    runs = pd.read_csv(tmp_path / "clustering.csv").set_index("method")
    assert runs["errors"].to_dict() == {"IF-PCA": 25, "PCA": 30}
    assert "| colon (62, 2) | 25 | 30 | IF-PCA 25" in (tmp_path / "clustering.md").read_text()
    assert (tmp_path / "clustering.png").stat().st_size > 5000
    run(*words, "--out", tmp_path)
    assert "25 of 62" not in capsys.readouterr().out  # nothing was run again


def test_rank_regret_and_spread_are_what_they_are_said_to_be(clustering):
    rows = [
        ("brain", "PCA", 0, 10, 40),
        ("brain", "PCA", 1, 14, 40),
        ("brain", "IF-PCA", 0, 4, 40),
        ("brain", "IF-PCA", 1, 4, 40),
        ("yan", "PCA", 0, 10, 100),
        ("yan", "PCA", 1, 10, 100),
        ("yan", "IF-PCA", 0, 20, 100),
        ("yan", "IF-PCA", 1, 20, 100),
    ]
    runs = pd.DataFrame(rows, columns=["set", "method", "seed", "errors", "n"])
    runs = runs.assign(ari=0.5, cpu_seconds=1.0, found=2, k=2)
    table = clustering["summary"](runs)
    assert table.loc["PCA", "mean error"] == pytest.approx((0.3 + 0.1) / 2)
    assert table.loc["IF-PCA", "mean error"] == pytest.approx((0.1 + 0.2) / 2)
    assert table.loc["PCA", "sd over seeds"] == pytest.approx(np.std([0.175, 0.225], ddof=1))
    assert (table["rank"] == 1.5).all()
    assert (table["regret"] == 0.5).all()
    assert table.loc["PCA", "microarrays"] == pytest.approx(0.3)
    assert table.loc["PCA", "cells"] == pytest.approx(0.1)
    text = clustering["markdown"](runs, ["lymphoma"], ["SC3s"])
    assert "| brain (40, 2) | 4 | 12 ± 2.8 | IF-PCA 11" in text
    assert "not installed: SC3s" in text
    assert "not at hand: lymphoma" in text
