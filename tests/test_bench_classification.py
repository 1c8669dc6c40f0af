"""The classification benchmark: parts that are run alone, and what its tables say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "classification.py"


@pytest.fixture
def script(tmp_path):
    names = runpy.run_path(str(SCRIPT))
    names["write"].__globals__["RESULTS"] = tmp_path
    return names


def test_a_part_that_is_run_again_leaves_the_others(script, tmp_path):
    script["write"]({"unknown": ["## C", "", "old"], "plate": ["## A"]})
    script["write"]({"unknown": ["## C", "", "new"]})
    script["write"]({"simulation": ["## B"]})
    text = (tmp_path / "classification.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Classification",
        "## A",
        "## B",
        "## C",
    ]
    assert "new" in text
    assert "old" not in text


def test_published_figures_stand_beside_what_they_measured(script):
    scores = dict.fromkeys(
        ["accuracy", "accuracy_low", "accuracy_high", "accuracy_common", "balanced_accuracy"], 0.5
    )
    found = pd.DataFrame(
        [
            {"split": split, "representation": "raw", "classifier": "linear_svm", **scores}
            | dict.fromkeys(["log_loss", "brier", "calibration_error"], float("nan"))
            for split in ("signatures", "perturbagens")
        ]
    )
    by_wells, by_compounds = script["score_table"](found, script["PUBLISHED"])[2:]
    assert by_wells.startswith("| wells | genes | linear SVM | 0.500 (0.50-0.50) |")
    assert by_wells.endswith("| .409 |")
    assert by_compounds.endswith("|  |")
    assert ".409" not in "".join(script["score_table"](found))
