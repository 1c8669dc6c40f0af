"""The score is scipy's Kolmogorov-Smirnov statistic, on every kind of matrix."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.special import ndtr

from sigilla.errors import DataError
from sigilla.pp import _by_gene, _ks
from sigilla.pp._ks import ks_scores


def by_scipy(gene):
    z = (gene - gene.mean()) / gene.std()
    return np.sqrt(len(gene)) * stats.kstest(z, "norm").statistic


def zero_heavy(n, p, *, density, seed=0, negative=True):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(n, p)) * 3, 1)
    values = values if negative else np.abs(values)
    return values * (rng.random((n, p)) < density)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("n", [3, 4, 17, 64, 65, 66, 200, 1000])
def test_scores_are_those_of_scipy(n, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = np.random.default_rng(n).gamma(2.0, size=(n, 40))
    np.testing.assert_allclose(ks_scores(X), [by_scipy(g) for g in X.T], rtol=1e-12)


def test_the_approximation_that_says_where_to_look_is_as_near_as_is_relied_on():
    x = np.linspace(-70, 70, 2_000_001)  # a standardised value is below the root of _MANY
    error = np.abs(_ks._page(x.astype(np.float32)) - stats.norm.cdf(x)).max()
    assert 1e-4 < error < 0.75 * _ks._PAGE_ERROR


@pytest.mark.parametrize("n", [3, 50, 181, 3000])
def test_scores_are_the_very_ones_that_the_normal_distribution_of_all_values_gives(n):
    X = np.random.default_rng(n).standard_t(4, size=(n, 200))
    X[:, 0] = np.arange(n) > 0  # ties, and values far out
    X[:, 1] = np.round(X[:, 1])
    z = np.sort(np.ascontiguousarray(X.T))
    z -= z.mean(axis=1, keepdims=True)
    z /= np.sqrt(np.einsum("ij,ij->i", z, z) / n)[:, None]
    above = ndtr(z) - np.arange(1, n + 1) / n
    distance = np.maximum(above.max(axis=1) + 1 / n, -above.min(axis=1))
    np.testing.assert_array_equal(ks_scores(X), np.sqrt(n) * distance)


@pytest.mark.parametrize("many", [0, 10**6])
def test_ties_are_scored_as_scipy_scores_them(many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = np.random.default_rng(0).integers(0, 4, size=(150, 30)).astype(float)
    np.testing.assert_allclose(ks_scores(X), [by_scipy(g) for g in X.T], rtol=1e-12)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("negative", [True, False])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_scores_are_the_dense_ones(form, negative, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = zero_heavy(600, 50, density=0.3, negative=negative)
    X[:, 0] = np.abs(X[:, 0]) + 1  # no zero
    X[:, 1] = 0
    X[0, 1] = 2  # one value
    np.testing.assert_allclose(ks_scores(form(X)), ks_scores(X), rtol=1e-12)


def test_zeros_that_are_stored_count_as_zeros(monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", 0)
    X = zero_heavy(40, 20, density=0.5)
    stored = sparse.csc_matrix(X)
    stored.data[::3] = 0
    np.testing.assert_allclose(ks_scores(stored), ks_scores(stored.toarray()), rtol=1e-12)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
def test_entries_given_twice_are_added_and_the_input_is_left_alone(form, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    twice = sparse.csc_matrix(([1.0, 2.0, 3.0], [0, 0, 2], [0, 3]), shape=(4, 1))
    if form is sparse.csr_matrix:
        twice = sparse.csr_matrix(([1.0, 2.0, 3.0], [0, 0, 0], [0, 2, 2, 3, 3]), shape=(4, 1))
    expected = ks_scores(np.array([[3.0], [0.0], [3.0], [0.0]]))
    np.testing.assert_allclose(ks_scores(twice), expected)
    assert twice.nnz == 3


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("many", [0, 10**6])
def test_matrices_with_nothing_in_them_are_scored(form, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    assert ks_scores(form(np.zeros((9, 0)))).shape == (0,)
    np.testing.assert_array_equal(ks_scores(form(np.zeros((9, 3)))), np.full(3, np.nan))


@pytest.mark.parametrize("said_to_be", [False, True])
def test_samples_that_may_not_be_changed_or_are_not_in_order_are_scored(said_to_be, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", 0)
    X = sparse.csr_matrix(zero_heavy(60, 20, density=0.4))
    expected = ks_scores(X.toarray())
    for i in range(60):
        row = slice(X.indptr[i], X.indptr[i + 1])
        X.data[row], X.indices[row] = X.data[row][::-1].copy(), X.indices[row][::-1].copy()
    X.has_sorted_indices = X.has_canonical_format = said_to_be
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    np.testing.assert_allclose(ks_scores(X, n_jobs=2), expected, rtol=1e-12)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_permuted_samples_give_identical_scores(form, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = zero_heavy(101, 80, density=0.6)
    X[:, 40:] *= np.random.default_rng(2).lognormal(sigma=5, size=(101, 40))
    shuffled = X[np.random.default_rng(1).permutation(101)]
    np.testing.assert_array_equal(ks_scores(form(X)), ks_scores(form(shuffled)))


def by_fsum(gene):
    """With sums that are right to the last digit."""
    n = len(gene)
    deviations = gene - math.fsum(gene) / n
    deviations -= math.fsum(deviations) / n  # the mean had few digits left for a small spread
    z = deviations / math.sqrt(math.fsum(deviations**2) / n)
    return np.sqrt(n) * stats.kstest(z, "norm").statistic


@pytest.mark.parametrize("n", [5000, 100_000])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_many_samples_of_any_shape_are_scored_as_sorted_ones(form, n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 7))
    X[7, 0] = 1e9  # all others are within one bin
    X[:, 1] = np.where(X[:, 1] > 0, 1.0, -1.0)  # two values
    X[:, 2] = rng.lognormal(sigma=4, size=n)
    X[:, 3] += 1e6  # a mean far above the spread
    X[rng.random(n) < 0.9, 4] = 0
    X[:, 5] = np.abs(X[:, 5]) * (rng.random(n) < 0.7)
    X[5:, 6] = 0  # five values
    assert n >= _ks._MANY
    np.testing.assert_allclose(ks_scores(form(X)), [by_fsum(gene) for gene in X.T], rtol=1e-11)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("form", [np.asarray, sparse.csc_matrix])
def test_genes_too_close_or_too_far_apart_for_double_precision_have_no_score(
    form, many, monkeypatch
):
    monkeypatch.setattr(_ks, "_MANY", many)
    close = np.where(np.arange(20) < 10, 2**60, 2**60 + 1)[:, None]
    assert np.isnan(ks_scores(form(close))).all()
    gene = np.random.default_rng(0).normal(size=(20, 1))
    assert np.isnan(ks_scores(form(gene * 1e-170))).all()
    with pytest.raises(DataError, match="1 of 1 genes"):
        ks_scores(form(gene * 1e160))


def test_many_samples_of_two_neighbouring_numbers_are_scored_as_of_any_two(monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", 0)
    one = np.arange(50)[:, None] < 20
    for low in (1.0, 1e16, 1e100):
        gene = np.where(one, np.nextafter(low, np.inf), low)
        np.testing.assert_allclose(ks_scores(gene), ks_scores(one * 1.0), rtol=1e-9)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("value", [0.1, 1e60 / 3, 1e180 / 3, np.finfo(float).max])
def test_a_constant_gene_has_no_score_whatever_its_value(value, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = np.random.default_rng(0).normal(size=(30, 3))
    expected = ks_scores(X)
    X[:, 1], expected[1] = value, np.nan
    np.testing.assert_array_equal(ks_scores(X), expected)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_blocks_and_threads_do_not_change_the_scores(n_jobs, monkeypatch):
    X = zero_heavy(30, 100, density=0.7)
    whole = ks_scores(X, n_jobs=1)
    monkeypatch.setattr(_ks, "_BLOCK", 60)
    np.testing.assert_array_equal(ks_scores(X, n_jobs=n_jobs), whole)
    monkeypatch.setattr(_ks, "_MANY", 0)
    for form in (sparse.csr_matrix, sparse.csc_matrix, np.asarray):
        np.testing.assert_allclose(ks_scores(form(X), n_jobs=n_jobs), whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "index"),
    [
        (np.bool_, np.int32),
        (np.int16, np.int64),
        (np.int64, np.int32),
        (np.float32, np.int64),
        (np.float64, np.int32),
        (np.longdouble, np.int32),
    ],
)
@pytest.mark.parametrize("run", [0, 1, 10**9])
def test_values_of_any_width_are_brought_to_their_genes(dtype, index, run, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", 0)
    monkeypatch.setattr(_by_gene, "_RUN", run)
    X = zero_heavy(60, 30, density=0.2).astype(dtype)
    X[10:20] = 0
    X[-5:] = 0
    stored = sparse.csr_matrix(X)
    stored.indices, stored.indptr = stored.indices.astype(index), stored.indptr.astype(index)
    np.testing.assert_allclose(ks_scores(stored, n_jobs=2), ks_scores(X), rtol=1e-12)


def test_values_by_samples_are_not_all_held_by_genes():
    X = sparse.csr_matrix(zero_heavy(5000, 100, density=0.6))
    expected = ks_scores(X, n_jobs=2)
    tracemalloc.start()
    np.testing.assert_array_equal(ks_scores(X, n_jobs=2), expected)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * X.data.nbytes


def test_genes_of_one_stored_value_or_none_score_as_dense_ones(monkeypatch):
    X = np.zeros((30, 4))
    X[3, 0], X[4, 1], X[5, 2] = 2.0, -1.0, 0.5
    expected = ks_scores(X)
    monkeypatch.setattr(_ks, "_MANY", 0)
    for form in (sparse.csr_matrix, sparse.csc_matrix):
        np.testing.assert_allclose(ks_scores(form(X)), expected, rtol=1e-12)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, np.int64, np.bool_])
def test_other_number_types_are_scored_in_double_precision(dtype, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = (np.random.default_rng(0).normal(size=(25, 10)) * 3).astype(dtype)
    if X.dtype.kind == "f":
        X[0] *= 5000  # n times the largest is beyond float16
    np.testing.assert_allclose(ks_scores(X), ks_scores(X.astype(float)), rtol=1e-14)


def test_the_input_is_not_modified():
    X = np.random.default_rng(0).normal(size=(30, 40))
    before = X.copy()
    ks_scores(X)
    ks_scores(X.T.copy().T)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("form", [np.asarray, sparse.csc_matrix])
def test_a_constant_gene_has_no_score(form, many, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = np.random.default_rng(0).normal(size=(20, 4))
    X[:, 1] = 0.1  # the mean of twenty 0.1 is not 0.1
    X[:, 2] = 0
    assert np.isnan(ks_scores(form(X))).tolist() == [False, True, True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("many", [0, 10**6])
@pytest.mark.parametrize("form", [np.asarray, sparse.csc_matrix])
def test_values_that_are_no_numbers_are_refused_by_gene(form, many, value, monkeypatch):
    monkeypatch.setattr(_ks, "_MANY", many)
    X = np.random.default_rng(0).normal(size=(20, 6))
    X[7:, 3] = value
    with pytest.raises(DataError, match=r"1 of 6 genes hold NaN or infinite values \(columns 3\)"):
        ks_scores(form(X))
    X[:, 3] = value
    with pytest.raises(DataError, match=r"1 of 6 genes hold NaN or infinite values \(columns 3\)"):
        ks_scores(form(X))


def test_a_number_of_threads_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="n_jobs=0 must be a positive number"):
        ks_scores(np.eye(4), n_jobs=0)
