"""The benchmarks of speed and growth: the peers are right, and so is what the tables say."""

from __future__ import annotations

import runpy
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from sigilla.pp._ks import ks_scores

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def influential():
    return runpy.run_path(str(BENCHMARKS / "influential.py"))


@pytest.fixture(scope="module")
def growth():
    return runpy.run_path(str(BENCHMARKS / "growth.py"))


@pytest.fixture(scope="module")
def training():
    return runpy.run_path(str(BENCHMARKS / "training.py"))


def test_cells_are_as_dense_as_asked_and_all_peers_score_them_alike(influential, tmp_path):
    influential["write_cells"](tmp_path, 5000, 60)
    X = influential["read_cells"](tmp_path, 60)
    assert X.shape == (5000, 60)
    assert X.nnz / X.toarray().size == pytest.approx(influential["DENSITY"], abs=0.1)
    scores = ks_scores(X)
    scored = ~np.isnan(scores)
    by_gene = X.tocsc()[:, scored]
    for peer in ("dense_scores", "scipy_scores"):
        np.testing.assert_allclose(influential[peer](by_gene), scores[scored], rtol=1e-10)
    np.testing.assert_allclose(
        [influential["published_score"](gene) for gene in by_gene.toarray().T.astype(float)],
        scores[scored],
        rtol=1e-10,
    )


def test_the_sort_is_of_each_piece_where_it_lies(influential):
    values = np.random.default_rng(0).normal(size=100)
    sizes = np.array([30, 0, 50, 20])
    expected = np.concatenate([np.sort(part) for part in np.split(values, [30, 30, 80])])
    influential["sort_genes"](values, sizes, threads=2)
    np.testing.assert_array_equal(values, expected)


def test_a_table_says_what_was_scaled_up_and_pairs_runs_of_one_repeat(influential):
    spread, row = influential["spread"], influential["row"]
    assert spread([3.0, 1.0, 2.0]) == "1.00 / 2.00 / 3.00"
    assert spread([0.05, 136.2, 99.5]) == "0 / 100 / 136"
    assert "| 2.00 / 3.00 / 4.00 |" in row("x", [4, 6, 2], [1, 2, 1], of="whole", beforehand="")
    found = {"shape": (181, 100), "published": [9.0], "sigilla": [0.5], "kept": (7, 8)}
    lines = influential["published_table"](found, Namespace(share=0.05, file=None))
    assert any("5.0% of the null's 5,000 draws, scaled up" in line for line in lines)
    assert any("| 18.0 / 18.0 / 18.0 |" in line for line in lines)


def test_the_exponent_is_that_of_the_largest_sizes_in_one_round(growth):
    rounds = {10**3: [4.0, 4.0, 4.0], 10**4: [5.0, 10.0, 5.0], 10**5: [50.0, 50.0, 500.0]}
    runs = {n: growth["Runs"](1.0, 2.0, seconds) for n, seconds in rounds.items()}
    assert growth["exponents"](runs) == pytest.approx([1.0, np.log10(5), 2.0])
    rows = [line for line in growth["table"]({"IF-PCA": runs}, 0.5).splitlines() if "IF-P" in line]
    assert [row.endswith("|  |") for row in rows] == [True, True, False]
    assert rows[2].endswith("| 50.00 / 50.00 / 500.00 | 1 | 2 | 0.70 / 1.00 / 2.00 |")


@pytest.mark.parametrize("case", [0, 1, 2])
def test_everyone_who_is_raced_has_an_epoch(training, case):
    case = list(training["CASES"])[case]
    setting = training["Setting"](case, 64, torch.get_num_threads())
    names = list(training["contestants"](case, compiles=False))
    assert all(training["ready"](setting, name)() > 0 for name in names)
    compiled = set(training["contestants"](case, compiles=True)) - set(names)
    assert len(compiled) == (2 if "published loop" in names else 0)


def test_products_are_played_again_in_the_order_and_layout_they_had(training):
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    with training["Recorder"]() as recorder:
        torch.nn.functional.linear(a, b) @ b.T.contiguous().T
    first, second = recorder.calls
    assert first == (((3, 4), (4, 1)), ((4, 5), (1, 4)))
    assert second == (((3, 5), (5, 1)), ((5, 4), (1, 5)))


def test_training_is_compared_round_by_round(training):
    times = {
        "published loop": [4.0, 8.0, 6.0],
        "products, float32": [1.0, 1.0, 2.0],
        "sigilla, float32": [2.0, 2.0, 2.0],
    }
    lines = training["lines_of"]("x", times)
    assert lines[0] == "| x | published loop | 4.000 / 6.000 / 8.000 |  | 1.00 / 1.00 / 1.00 |"
    assert lines[2].endswith("| 1.00 / 2.00 / 2.00 | 2.00 / 3.00 / 4.00 |")


def test_a_stage_that_is_not_there_is_refused(growth, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["growth", "--only", "IF-PCR"])
    with pytest.raises(SystemExit):
        growth["main"]()
    assert "'IF-PCR' is in no stage: read GCTX" in capsys.readouterr().err
