"""The Connectivity Map's scores, against numbers worked out by hand and a walk spelled out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigilla.errors import DataError
from sigilla.metrics import _enrichment as module
from sigilla.metrics import (
    connectivity_tau,
    enrichment_score,
    normalized_connectivity,
    summarize_connectivity,
    weighted_connectivity,
)
from sigilla.metrics._enrichment import walk_classes

GENES = list("ABCDEFGHIJ")
# Two signatures of ten genes, in the order of GENES.
SIGNATURES = np.array(
    [
        [5.0, 4.0, 3.0, 2.0, 1.0, -1.0, -2.0, -3.0, -4.0, -5.0],
        [-1.0, 2.0, 5.0, -4.0, 3.0, 4.0, -5.0, 1.0, -2.0, -3.0],
    ]
)


def mask(*sets):
    return np.array([[gene in chosen for gene in GENES] for chosen in sets])


def spelled_out(values, members, weight=1.0):
    """The running sum, one gene at a time, as the paper describes it."""
    order = np.argsort(-values, kind="stable")
    hit = members[order]
    step = np.abs(values[order]) ** weight
    height, farthest = 0.0, 0.0
    for is_hit, size in zip(hit, step, strict=True):
        height += size / step[hit].sum() if is_hit else -1 / (~hit).sum()
        if abs(height) > abs(farthest):
            farthest = height
    return farthest


# -- a worked example -----------------------------------------------------------------------------


def test_the_worked_example():
    """Up-regulated A, B, D; down-regulated H, J.

    Signature 1 is A B C D E F G H I J. Up: 5/11 at A, 9/11 at B, 1/7 less at C, 1 - 1/7 at D,
    then down: ES 6/7. Down (H 3/8, J 5/8): -7/8 at G, then up: ES -7/8.
    WTCS = (6/7 + 7/8) / 2 = 97/112.

    Signature 2 is C F E B H A I J D G. Up (B 2/7, A 1/7, D 4/7): -3/7 at E, -1/7 at B, -2/7 at H,
    -1/7 at A, -3/7 at J, 1/7 at D: ES -3/7. Down (H 1/4, J 3/4): -1/2 at B, -1/4 at H, -1/2 at I,
    1/4 at J: ES -1/2. Both halves are at the bottom: WTCS 0.
    """
    up, down = mask("ABD"), mask("HJ")
    es_up = enrichment_score(SIGNATURES, up).ravel()
    es_down = enrichment_score(SIGNATURES, down).ravel()
    np.testing.assert_allclose(es_up, [6 / 7, -3 / 7])
    np.testing.assert_allclose(es_down, [-7 / 8, -1 / 2])
    wtcs = weighted_connectivity(SIGNATURES, up=up, down=down)
    np.testing.assert_allclose(wtcs, [[97 / 112], [0.0]])


def test_the_worked_example_from_wtcs_to_the_summary():
    """Two cell lines x two compounds, one query.

    MCF7: 0.8, 0.4 positive (mean 0.6), -0.3 negative (mean -0.3). PC3: 0.5 alone, 0.
    NCS: 4/3, 2/3, -1; 1, 0.
    """
    wtcs = [[0.8], [0.4], [-0.3], [0.5], [0.0]]
    cells = ["MCF7", "MCF7", "MCF7", "PC3", "PC3"]
    ncs = normalized_connectivity(wtcs, cells)
    np.testing.assert_allclose(ncs.ravel(), [4 / 3, 2 / 3, -1, 1, 0])
    # Percentiles of (4/3, 1) lie 1/3 apart: 67 gives 1 + .67/3. Of (-1, 0, 2/3), low is -0.34
    # (between -1 and 0 at .66) and high 0.2267 (between 0 and 2/3 at .34): the low one is farther.
    names, summary = summarize_connectivity(ncs, ["x", "y", "y", "x", "y"])
    assert names.tolist() == ["x", "y"]
    np.testing.assert_allclose(summary.ravel(), [1 + 0.67 / 3, -0.34])
    reference = np.array([[0.1, -2.0, 1.0, np.nan], [0.5, 0.7, -0.1, -0.2]])
    tau = connectivity_tau(summary, reference)
    np.testing.assert_allclose(tau.ravel(), [100 * 2 / 3, -50])


# -- published properties -------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32 - 1),
    n_genes=st.integers(6, 40),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    weight=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_scores_equal_the_walk_spelled_out_and_keep_their_properties(seed, n_genes, sizes, weight):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, n_genes))
    order = rng.permutation(n_genes)
    up, down = np.zeros((2, 1, n_genes), dtype=bool)
    up[0, order[: sizes[0]]] = True
    down[0, order[sizes[0] : sum(sizes)]] = True

    es_up = enrichment_score(x, up, weight=weight)
    es_down = enrichment_score(x, down, weight=weight)
    # Sizes, as a walk may be equally far above and below 0.
    np.testing.assert_allclose(
        np.abs(es_up[:, 0]), [abs(spelled_out(row, up[0], weight)) for row in x], atol=1e-12
    )
    assert (np.abs(es_up) <= 1 + 1e-12).all()

    wtcs = weighted_connectivity(x, up=up, down=down, weight=weight)
    assert (np.abs(wtcs) <= 1 + 1e-12).all()
    assert (wtcs[np.sign(es_up) == np.sign(es_down)] == 0).all()
    flipped = weighted_connectivity(x, up=down, down=up, weight=weight)
    np.testing.assert_array_equal(flipped, -wtcs)


def test_a_signature_is_fully_connected_with_itself_and_opposed_to_its_mirror_image():
    x = np.linspace(3, -3, 60)[None, :]
    up, down = np.zeros((2, 1, 60), dtype=bool)
    up[0, :10] = down[0, -10:] = True
    assert weighted_connectivity(x, up=up, down=down).item() == pytest.approx(1)
    assert weighted_connectivity(-x, up=up, down=down).item() == pytest.approx(-1)


def test_many_signatures_and_queries_at_once_equal_one_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 30))
    sets = rng.permuted(np.arange(30) < np.arange(2, 7)[:, None], axis=1)
    expected = [[spelled_out(row, members) for members in sets] for row in x]
    np.testing.assert_allclose(enrichment_score(x, sets), expected, atol=1e-12)


def test_the_classes_of_a_partition_at_once_equal_one_at_a_time():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 40))
    labels = rng.integers(-1, 4, 40)
    x[2, labels == 1] = 0  # no weight
    order = np.argsort(-x, axis=1, kind="stable")
    weights = np.abs(np.take_along_axis(x, order, axis=1))
    found = walk_classes(order, weights, labels)
    expected = enrichment_score(x, labels == np.arange(4)[:, None])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found[2]).tolist() == [False, True, False, False]


def test_queries_with_one_half_have_its_score():
    up, none = mask("ABD"), mask("")
    es = enrichment_score(SIGNATURES, up)
    np.testing.assert_array_equal(weighted_connectivity(SIGNATURES, up=up, down=none), es)
    np.testing.assert_array_equal(weighted_connectivity(SIGNATURES, up=none, down=up), -es)


# -- missing values -------------------------------------------------------------------------------


def test_what_makes_a_score_missing():
    x = SIGNATURES.copy()
    x[1, [0, 1]] = 0
    assert np.isnan(enrichment_score(x, mask("AB", ""))).tolist() == [[False, True], [True, True]]
    assert np.isnan(weighted_connectivity(x, up=mask("AB"), down=mask("J"))).tolist() == [
        [False],
        [True],
    ]
    assert np.isnan(weighted_connectivity(x, up=mask(""), down=mask(""))).all()


def test_missing_scores_and_labels_stay_missing_and_do_not_count():
    wtcs = np.array([[0.2], [np.nan], [0.4], [0.9]])
    ncs = normalized_connectivity(wtcs, ["a", "a", "a", None])
    np.testing.assert_allclose(ncs.ravel(), [2 / 3, np.nan, 4 / 3, np.nan])
    names, summary = summarize_connectivity(wtcs, ["a", "b", None, "a"])
    assert names.tolist() == ["a", "b"]
    assert np.isnan(summary.ravel()).tolist() == [False, True]
    tau = connectivity_tau([[1.0, np.nan], [1.0, 1.0]], [[0.5, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(tau, [[100, np.nan], [np.nan, np.nan]])


def test_tau_counts_strictly_smaller_scores_as_the_formula_does():
    rng = np.random.default_rng(1)
    ncs = rng.normal(size=(20, 5)).round(1)
    reference = rng.normal(size=(20, 50)).round(1)
    formula = np.sign(ncs) * 2 * (np.abs(reference)[:, None] < np.abs(ncs)[:, :, None]).sum(2)
    np.testing.assert_allclose(connectivity_tau(ncs, reference), formula)


def test_normalised_scores_of_a_sign_average_to_one_in_each_group_and_query():
    rng = np.random.default_rng(2)
    wtcs, groups = rng.uniform(-1, 1, (60, 4)), np.repeat(["a", "b", "c"], 20)
    ncs = normalized_connectivity(wtcs, groups)
    for group in "abc":
        part = ncs[groups == group]
        np.testing.assert_allclose(np.nanmean(np.where(part > 0, part, np.nan), 0), 1)
        np.testing.assert_allclose(np.nanmean(np.where(part < 0, part, np.nan), 0), -1)


# -- input that cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: enrichment_score([1.0], mask("A")), ValueError, "signatures x genes"),
        (lambda: enrichment_score(SIGNATURES, mask("A")[:, :3]), ValueError, "sets x 10 genes"),
        (lambda: enrichment_score(SIGNATURES, mask(GENES)), ValueError, "holds every gene"),
        (lambda: enrichment_score(SIGNATURES, mask("A"), weight=-1), ValueError, "weight=-1"),
        (lambda: enrichment_score(SIGNATURES * np.nan, mask("A")), DataError, "20 NaN"),
        (
            lambda: weighted_connectivity(SIGNATURES, up=mask("A"), down=mask("AB")),
            ValueError,
            "both up and down",
        ),
        (
            lambda: weighted_connectivity(SIGNATURES, up=mask("A"), down=mask("B", "C")),
            ValueError,
            "up has 1 queries and down 2",
        ),
        (lambda: normalized_connectivity([[1.0]], ["a", "b"]), ValueError, "groups has 2 labels"),
        (lambda: connectivity_tau([[1.0]], [[1.0], [2.0]]), ValueError, "1 signatures"),
        (lambda: summarize_connectivity([[1.0]], ["a"], low=70), ValueError, "low=70"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
