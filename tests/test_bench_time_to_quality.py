"""Time to quality: what stops the clock, whose rows are shown, and what the words say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    return SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "time_to_quality.py")))


@pytest.fixture(scope="module")
def peers():
    return SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "time_to_quality_peers.py")))


def rows(script, *entries):
    return pd.DataFrame(entries, columns=script.COLUMNS)


@pytest.fixture
def table(script):
    return rows(
        script,
        ("default", 0, 0, 2.0, 0.5),
        ("default", 0, 1, 4.0, 0.8),
        ("published", 0, 0, 1.0, 0.1),
        ("published", 0, 5, 100.0, 0.6),
        ("published", 0, 9, 200.0, 0.55),
        ("scvi", 0, 1, 10.0, 0.3),
        ("scanvi", 0, 1, 10.0, 0.9),
    )


def test_the_clock_stops_while_an_epoch_is_judged(script, tmp_path):
    time = SimpleNamespace(now=100.0)
    curve = script.Curve(tmp_path / "a.csv", "scvi", 3, np.inf, lambda: time.now)

    def judge():
        time.now += 50
        return 0.25

    curve.start()
    for epoch in (1, 2):
        time.now += 5
        curve.tell(epoch, judge)
    assert curve.rows()["seconds"].tolist() == [5.0, 10.0]
    assert curve.rows()["accuracy"].tolist() == [0.25, 0.25]
    curve.start()
    assert curve.rows().empty


def test_a_call_ends_when_its_minutes_are_used_up(script, tmp_path):
    curve = script.Curve(tmp_path / "a.csv", "scvi", 0, 0)
    curve.start()
    with pytest.raises(script.EnoughError):
        curve.tell(1, lambda: 0.5)
    assert len(curve.rows()) == 1


def test_peers_join_the_table_but_do_not_stand_in_for_it(script, tmp_path, table):
    assert script.with_peers(tmp_path).empty
    own = table["recipe"].isin(["default", "published"])
    table[~own].to_csv(tmp_path / "time_to_quality_peers.csv", index=False)
    assert set(script.with_peers(tmp_path)["recipe"]) == {"scvi", "scanvi"}
    table[own].to_csv(tmp_path / "time_to_quality.csv", index=False)
    again = pd.concat([table[~own], rows(script, ("default", 0, 0, 99.0, 0.0))])
    again.to_csv(tmp_path / "time_to_quality_peers.csv", index=False)
    pd.testing.assert_frame_equal(script.with_peers(tmp_path), table)


def test_the_summary_says_how_much_sooner_and_where_the_default_falls_short(script, table):
    text = "\n".join(script.summary(table))
    assert "| published | 0 | 9 | 200.0 | 0.550 | 0.600 |" in text
    assert "passes 0.600 after 4.00 s: 50 times sooner than the recipe ends, 25.0 times" in text
    assert "passes 0.300 after 2.00 s: 5.0 times sooner than its best epoch." in text
    assert "Seed 0: the default does not reach the 0.900 of scvi-tools, SCANVI." in text
    assert "pythae" not in text


def test_rounds_are_compared_with_themselves_and_epochs_counted_without_the_start(script, table):
    found = []
    for at, (passes, epoch) in enumerate([(2.0, 10.0), (4.0, 30.0), (5.0, 15.0)]):
        entries = [
            ("default", 0, 0, passes / 2, 0.5),
            ("default", 0, 1, passes, 0.6),
            ("default", 0, 2, 9 * passes, 0.9),
            ("published", 0, 0, 3.0, 0.1),
            ("published", 0, 2, 3.0 + 2 * epoch, 0.1),
        ]
        found.append(rows(script, *entries).assign(round=at))
    text = " ".join(script.of_rounds(table, pd.concat(found)))
    assert "3 rounds in turns" in text
    assert "passes 0.600 after 2.00 / 4.00 / 5.00 s" in text
    assert "take 90 / 135 / 270 s: 27 / 45 / 68 times sooner" in text


def test_every_recipe_of_the_table_is_drawn(script, table, tmp_path):
    script.draw(table, tmp_path / "a.png")
    script.draw(table[table["recipe"] == "default"], tmp_path / "b.png")
    assert (tmp_path / "a.png").stat().st_size > (tmp_path / "b.png").stat().st_size > 5000


@pytest.mark.parametrize("recipe", ["scvi", "scanvi", "pythae_vqvae"])
def test_a_peer_that_is_not_installed_is_left_out_with_the_way_to_it(
    peers, recipe, tmp_path, monkeypatch, capsys
):
    for name in ("scvi", "pythae"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    path = tmp_path / "time_to_quality_peers.csv"
    before = pd.DataFrame([[recipe, 0, 1, 2.0, 0.5]], columns=peers.read(path).columns)
    before.to_csv(path, index=False)
    peers.attempt(recipe, None, peers.Curve(path, recipe, 0, 1.0))
    shown = capsys.readouterr().out
    assert shown.startswith(f"{recipe}: left out, ")
    assert "pip install scvi-tools==1.4.2 pythae==0.1.2" in shown
    pd.testing.assert_frame_equal(peers.read(path), before)


def test_a_signature_falls_to_the_class_with_the_nearest_mean_of_the_latent(peers):
    x = np.float32([[0, 9], [2, 9], [10, 0], [12, 0]])
    new = np.float32([[3, 0], [7, 9], [8, 9]])
    split = peers.Split(x, np.array([0, 0, 1, 1]), new, np.array([0, 1, 0]), 2)
    assert peers.by_means(split, lambda t: t[:, :1]) == pytest.approx(2 / 3)


def test_judging_leaves_training_as_it_was(peers):
    module = torch.nn.Dropout().train()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    def judge(model):
        assert not model.training
        return float(torch.rand(1))

    peers.judged(module, judge)
    assert module.training
    assert torch.equal(torch.rand(3), expected)


def test_recipes_that_the_minutes_ended_are_named(peers):
    columns = ["recipe", "epoch"]
    table = pd.DataFrame([["scvi", 1], ["scvi", 63], ["pythae_vqvae", 100]], columns=columns)
    assert peers.cut_short(table) == " Cut short by the minutes: scvi at 63 of 400 epochs."
    assert peers.cut_short(table[table["recipe"] != "scvi"]) == ""
