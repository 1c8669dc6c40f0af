"""Empirical null and Higher Criticism, against plain transcriptions of the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sigilla.errors import DataError
from sigilla.pp._null import SimulatedNull, TabulatedNull
from sigilla.pp._selection import higher_criticism, select_by_score, to_null_scale


def higher_criticism_by_the_book(pvalues, n):
    """Rank by rank, as the papers write it; returns the number of the last maximal rank."""
    p = len(pvalues)
    ordered = sorted(pvalues)
    values = []
    for j, pi in enumerate(ordered, start=1):
        u = j / (p + 1)
        values.append(math.sqrt(p) * (u - pi) / math.sqrt(max(math.sqrt(n) * (u - pi), 0) + u))
    first = next(j for j, pi in enumerate(ordered, start=1) if pi > math.log(p) / p)
    ranks = range(first, (p + 1) // 2 + 1)
    best = max(values[j - 1] for j in ranks)
    return max(j for j in ranks if values[j - 1] == best), values, ordered


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_one_of_the_formula(seed):
    rng = np.random.default_rng(seed)
    pvalues = np.concatenate([rng.random(700), rng.random(301) ** 6])
    rank, values, ordered = higher_criticism_by_the_book(pvalues.tolist(), n=50)
    threshold, functional, significant = higher_criticism(pvalues, 50)
    assert significant
    assert threshold == ordered[rank - 1]
    np.testing.assert_allclose(functional, values)


def test_of_equal_maxima_the_last_counts_and_ties_are_kept_together():
    pvalues = np.repeat([0.06, 1.0], [45, 55])
    threshold, functional, significant = higher_criticism(pvalues, 10)
    assert significant
    assert threshold == 0.06
    assert int(np.argmax(functional)) == 44


def test_genes_beyond_the_middle_are_not_searched_even_if_all_are_significant():
    threshold, _, _ = higher_criticism(np.linspace(1e-9, 1e-6, 100), 40)
    assert threshold == np.linspace(1e-9, 1e-6, 100)[49]


@pytest.mark.parametrize("seed", range(10))
def test_without_evidence_at_most_one_gene_in_twenty_is_kept(seed):
    pvalues = np.random.default_rng(seed).random(1000)
    threshold, _, significant = higher_criticism(pvalues, 50)
    assert not significant
    assert (pvalues <= threshold).sum() <= 50


@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_corrected_scores_have_the_moments_of_the_null(fraction):
    null = TabulatedNull(40)
    scores = np.random.default_rng(0).gamma(3.0, size=1000)
    corrected = np.sort(to_null_scale(scores, null, fraction))[: round(1000 * fraction)]
    mean, sd = null.moments(fraction)
    assert corrected.mean() == pytest.approx(mean)
    assert corrected.std(ddof=1) == pytest.approx(sd)


def test_both_nulls_choose_nearly_the_same_genes():
    null = SimulatedNull(60, 5000, random_state=7, n_jobs=1)
    scores = null._sorted[:2500].copy()
    scores[::50] += 0.8
    table = select_by_score(scores, 60)
    simulated = select_by_score(scores, 60, null="simulate", n_jobs=1)
    differ = table.selected ^ simulated.selected
    assert differ.sum() <= 0.1 * table.selected.sum()
    assert np.abs(table.pvalues - simulated.pvalues).max() < 0.01


def test_constant_genes_change_nothing_for_the_others():
    scores = np.random.default_rng(0).gamma(8.0, 0.08, size=400)
    alone = select_by_score(scores, 30)
    among = select_by_score(np.concatenate([scores, [np.nan] * 100]), 30)
    np.testing.assert_array_equal(among.pvalues[:400], alone.pvalues)
    np.testing.assert_array_equal(among.selected[:400], alone.selected)
    assert np.isnan(among.pvalues[400:]).all()
    assert not among.selected[400:].any()


@pytest.mark.parametrize("scores", [[0.7], [0.7, 0.7], [0.7, 1.9]])
def test_one_or_two_genes_are_enough(scores):
    assert select_by_score(np.array(scores), 20).selected.any()


def test_no_varying_gene_is_refused():
    with pytest.raises(DataError, match="none of the 3 genes varies"):
        select_by_score(np.full(3, np.nan), 20)
