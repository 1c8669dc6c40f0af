"""What is said of pairs follows from their table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.report._pair_rows import pair_table
from sigilla.report._pairs import Pairs, pairs, sentences

ROW = {"corrected": 0.9, "low": 0.5, "high": 1.0, "n_a": 3, "n_b": 4, "r_means": 0.6}


def made(qvalues, *, chance=(0.5, 0.5, 0.5), r=0.8, sizes=(3, 4, 2), means=0, **params):
    """Pairs of three classes; NaN is a pair that could not be tested."""
    names = [("a", "b"), ("a", "c"), ("b", "c")]
    rows = [
        {"class_a": x, "class_b": y, "r": r, **ROW, "pvalue": q / 3, "qvalue": q, "qvalue_perm": c}
        for (x, y), q, c in zip(names, qvalues, chance, strict=True)
    ]
    table = pd.DataFrame(rows)
    table["significant"] = table["qvalue"] <= 0.05
    table["nearest"] = [True, False, True]
    given = {"level": 0.95, "n_boot": 10, "n_perm": 20, "random_state": 0, "unit": "pert_id"}
    return Pairs(table, pd.Series(sizes, index=list("abc")), given | params, means)


def plain(found):
    return " ".join(sentences(found)).replace("\N{NO-BREAK SPACE}", " ")


def test_one_significant_pair_is_named_with_its_interval():
    said = plain(made([0.01, 0.3, np.nan], means=2))
    assert said.startswith(
        "1 of 2 pairs of classes that could be tested is significantly correlated, at a false "
        "discovery rate of 5 %. It is a and b (r = 0.80, without noise 0.90, 95 % interval 0.50 "
        "to 1.00). Without noise: what r would be"
    )
    assert "class means, without the code book, give 2 significant pairs" in said
    assert "1 further pair could not be tested" in said
    assert "The two are not more alike than groups of perturbagens that chance puts" in said
    assert "oppose" not in said


def test_terms_are_explained_where_the_first_one_stands():
    said = sentences(made([0.01, 0.02, np.nan]))
    assert "without noise" in said[1]
    assert said[2] == (
        "Without noise: what r would be if each class had any number of perturbagens. "
        "A perturbagen is what cells were treated with, such as a compound."
    )
    assert sum("A perturbagen is" in sentence for sentence in said) == 1
    params = {"level": 0.95, "n_boot": 10, "n_perm": 20}
    wells = made([0.01, 0.02, np.nan])
    wells = Pairs(wells.table.assign(corrected=np.nan), wells.sizes, params)
    assert "without noise" not in plain(wells).lower()
    assert "perturbagen" not in plain(wells)
    untested = sentences(made([np.nan] * 3))
    assert (
        "A perturbagen is"
        in untested[1 + next(i for i, s in enumerate(untested) if "perturb" in s)]
    )


def test_a_pair_that_could_not_be_tested_is_told_as_such():
    found = made([0.01, 0.3, np.nan])
    assert found.r_of("b", "a", 0.8) == "r\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.80"
    assert found.r_of("c", "b", 0.8).endswith("0.80, not tested")
    untested = Pairs(found.table.drop(columns=["pvalue", "qvalue"]))
    assert untested.r_of("a", "b", 0.8).endswith("0.80, not tested")


def test_several_pairs_are_counted_and_opposition_is_explained():
    said = plain(made([0.01, 0.05, 0.2], r=-0.8))
    assert "2 of 3 pairs" in said
    assert "are significantly correlated" in said
    assert "alike (or opposed, where r is negative) too" in said
    assert "give none" in said


def test_pairs_that_stand_out_from_chance_are_told_from_those_that_do_not():
    said = plain(made([0.01, 0.02, 0.2], chance=(0.04, 0.3, 0.04)))
    assert "One of them is also more alike than groups of perturbagens" in said
    assert "puts together: a and b. The others may share no more than" in said
    said = plain(made([0.01, 0.02, 0.2], chance=(0.04, 0.05, 0.4)))
    assert "All of them are also more alike than" in said
    said = plain(made([0.01, 0.3, 0.2], chance=(0.04, 0.04, 0.4), r=-0.8))
    assert "The two are also more alike or opposed than" in said
    said = plain(made([0.01, 0.02, 0.2]))
    assert "None of them is more alike than" in said


def test_where_nothing_is_significant_the_page_says_why():
    said = plain(made([0.2, 0.3, np.nan], sizes=(2, 4, 1)))
    assert said.startswith("No pair of classes is significantly correlated")
    assert "no evidence that classes act differently" in said
    assert "the 2 classes that can be tested have 2 to 4 (median 3) perturbagens each" in said
    assert "p = 0.067, which after counting all pairs is q = 0.20" in said
    assert "1 of 3 classes have fewer than two perturbagens" in said


def test_where_nothing_could_be_tested_the_page_says_so():
    said = plain(made([np.nan] * 3, sizes=(1, 1, 5), unit="pert_id"))
    assert said.startswith(
        "Whether classes are correlated could not be tested: no two classes have "
        "two or more perturbagens each."
    )


def test_without_perturbagens_it_is_signatures_that_are_counted():
    found = made([0.2, 0.3, 0.4])
    params = {name: value for name, value in found.params.items() if name != "unit"}
    said = plain(Pairs(found.table, found.sizes, params))
    assert "perturbagen" not in said
    assert "other signatures of the same classes" in said


@pytest.fixture
def fitted():
    adata = sg.datasets.simulate_lincs(class_sizes=[40] * 4, n_genes=20)
    sg.tl.svqvae(adata, max_epochs=2)
    return adata


def test_without_statistics_all_pairs_stand_with_their_correlation_alone(fitted):
    r = sg.get.code_correlation(fitted)
    found = pairs(fitted, "svqvae", "genes", {})
    assert not found.tested
    assert sentences(found) == []
    assert list(found.table) == ["class_a", "class_b", "r", "nearest"]
    for row in found.table.itertuples():
        assert row.r == pytest.approx(r.loc[row.class_a, row.class_b], abs=1e-5)
    assert found.table["r"].is_monotonic_decreasing
    assert [c.name for c in pair_table(found).columns] == ["r", "nearest"]


def test_statistics_of_another_correlation_than_the_heatmaps_are_left_out(fitted):
    sg.tl.code_correlation(fitted, n_boot=5, n_perm=5, space="latent")
    assert not pairs(fitted, "svqvae", "genes", {}).tested
    assert pairs(fitted, "svqvae", "latent", {}).tested
    sg.tl.code_correlation(fitted, n_boot=5, n_perm=5, method="spearman")
    assert not pairs(fitted, "svqvae", "genes", {}).tested


def test_statistics_are_those_of_get_and_rows_keep_their_order(fitted):
    sg.tl.code_correlation(fitted, n_boot=20, n_perm=20)
    stats = sg.get.code_correlation_stats(fitted)
    found = pairs(fitted, "svqvae", "genes", {"F01a": "F01b"})
    shared = ["class_a", "class_b", "n_a", "n_b"]
    pd.testing.assert_frame_equal(found.table[shared], stats[shared])
    numbers = ["r", "corrected", "low", "high", "pvalue", "qvalue", "qvalue_perm", "r_means"]
    np.testing.assert_allclose(found.table[numbers], stats[numbers], rtol=1e-5)
    assert found.table["significant"].tolist() == (stats["qvalue"] <= 0.05).tolist()
    shown = pair_table(found)
    assert [(row.a, row.b) for row in shown.rows] == list(
        zip(stats["class_a"], stats["class_b"], strict=True)
    )
    assert shown.n_significant == found.table["significant"].sum()
    assert shown.n_tested == stats["qvalue"].notna().sum()
