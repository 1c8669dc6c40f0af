"""Correlation of classes: worked by hand, against closed forms, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sigilla.metrics import class_correlation
from sigilla.metrics._correlation import _alike, _twice
from sigilla.metrics._resampling import Units, fieller, moderated, resampled

FIELDS = ("r", "corrected", "low", "high", "pvalue", "qvalue", "pvalue_perm", "qvalue_perm")


def sampled(rng, sizes, *, noise=1.0, n_features=60, truth=None):
    """Units around profiles of which each two are related with a correlation of 0.6."""
    k = len(sizes)
    if truth is None:
        truth = np.kron(np.eye(k // 2), [[1, 0.6], [0.6, 1]])
    random = np.column_stack([np.ones(n_features), rng.normal(size=(n_features, k))])
    axes = np.linalg.qr(random)[0][:, 1:]
    profiles = np.linalg.cholesky(truth) @ axes.T * np.sqrt(n_features)
    classes = np.repeat(np.arange(k), sizes)
    units = profiles[classes] + noise * rng.normal(size=(len(classes), n_features))
    return units, classes, truth


@pytest.fixture
def some():
    return sampled(np.random.default_rng(0), [3, 4, 5, 6])[:2]


def test_the_correction_of_a_case_worked_by_hand():
    # Class means (2 0 0 0) and (3 0 0 4): 6 / (2 x 5). The noise in their squared lengths is half
    # of the mean squared deviation over n - 1 = 1: 1 each, so 6 / sqrt((4 - 1) (25 - 1)).
    units = [[2, 1, 0, 0], [2, -1, 0, 0], [3, 0, 1, 4], [3, 0, -1, 4]]
    found = class_correlation(units, [0, 0, 1, 1], method="cosine")
    np.testing.assert_allclose(found.r, [[1, 0.6], [0.6, 1]])
    np.testing.assert_allclose(found.corrected[0, 1], 1 / np.sqrt(2))


def test_the_correction_uses_products_of_different_units_only(some):
    units, classes = some
    found = class_correlation(units, classes)
    x = units - units.mean(axis=1, keepdims=True)
    gram = x @ x.T
    lengths = []
    for k in (0, 1):
        own = gram[np.ix_(classes == k, classes == k)]
        lengths.append(own[~np.eye(len(own), dtype=bool)].mean())
    expected = gram[np.ix_(classes == 0, classes == 1)].mean() / np.sqrt(np.prod(lengths))
    np.testing.assert_allclose(found.corrected[0, 1], expected)


@pytest.mark.parametrize("method", ["pearson", "spearman", "cosine"])
def test_r_is_the_correlation_of_class_means(some, method):
    units, classes = some
    means = np.stack([units[classes == k].mean(axis=0) for k in range(4)])
    expected = {
        "pearson": np.corrcoef(means),
        "spearman": stats.spearmanr(means, axis=1).statistic,
        "cosine": means @ means.T / np.outer(*2 * [np.linalg.norm(means, axis=1)]),
    }[method]
    found = class_correlation(units, classes, method=method, n_boot=20, n_perm=5)
    np.testing.assert_allclose(found.r, expected)
    upper = np.triu_indices(4, 1)
    assert (found.low[upper] <= found.corrected[upper]).all()
    assert (found.corrected[upper] <= found.high[upper]).all()


def about(units, classes):
    """Units about the means of their classes, as the estimator sees them."""
    x = units - units.mean(axis=1, keepdims=True)
    member = np.eye(classes.max() + 1)[classes]
    n = member.sum(axis=0)
    means = member.T @ x / n[:, None]
    deviation = x - means[classes]
    energy = member.T @ np.square(deviation).sum(axis=1)
    return Units(n, member, deviation @ means.T, energy, means @ means.T), means, deviation


def test_a_mean_has_the_variance_of_its_units_over_their_number(some):
    units, classes = some
    seen, means, _ = about(units, classes)
    x = units - units.mean(axis=1, keepdims=True)
    values = x[classes == 0] @ means[1]
    np.testing.assert_allclose(seen.variance(seen.along)[0, 1], values.var(ddof=1) / 3)


def test_turning_is_the_derivative_of_the_correlation(some):
    units, classes = some
    seen, means, deviation = about(units, classes)
    length = np.sqrt(np.diag(seen.product))
    r = seen.product / np.outer(length, length)
    for unit in (0, 7):
        a, small = classes[unit], 1e-6
        moved = means[a] + small * deviation[unit]
        other = np.delete(np.arange(4), a)
        changed = moved @ means[other].T / np.linalg.norm(moved) / length[other]
        expected = seen.turning[unit, other] / (length[a] * length[other])
        np.testing.assert_allclose((changed - r[a, other]) / small, expected, rtol=1e-4)


def test_draws_have_the_variance_of_the_closed_form(some):
    seen, means, deviation = about(*some)
    rng = np.random.default_rng(0)
    _, _, (drawn, _, _) = resampled(seen, means, deviation, seen.product, 4000, rng, ranks=False)
    variance = seen.variance(seen.turning)
    length = np.diag(seen.product)
    expected = (variance + variance.T) / np.outer(length, length)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(drawn[off], expected[off], rtol=0.12)


def test_the_noise_of_both_classes_is_counted_once():
    # Where there is nothing but noise, its product is all that varies, and each class brings it.
    rng = np.random.default_rng(5)
    seen, twice, products = [], [], []
    for _ in range(40):
        classes = np.repeat(np.arange(10), 4)
        units, means, deviation = about(rng.normal(size=(40, 30)), classes)
        alike = _alike(deviation, units.member, units.energy)
        assert alike == pytest.approx(1 / 29, rel=0.2)  # centred on 30 features
        off = ~np.eye(10, dtype=bool)
        products.append((means @ means.T)[off])
        seen.append(moderated(units, 0 * units.product).pair[off])
        twice.append(moderated(units, _twice(alike, units.noise, units.noise)).pair[off])
    assert np.mean(seen) == pytest.approx(2 * np.var(products), rel=0.1)
    assert np.mean(twice) == pytest.approx(np.var(products), rel=0.15)


def drawn_from(rng, n, scale=1.0):
    """Units whose products with every profile have a variance of ``scale`` squared."""
    classes = np.repeat(np.arange(len(n)), n)
    member = np.eye(len(n))[classes]
    along = np.broadcast_to(scale, len(n))[classes][:, None] * rng.normal(size=member.shape)
    along -= (member.T @ along / np.array(n)[:, None])[classes]
    energy = member.T @ np.square(along).sum(axis=1)
    # Profiles of no relation, too long for a deviation to be a matter of strength.
    return Units(np.array(n, dtype=float), member, along, energy, 1e12 * np.eye(len(n)))


def varied(units, **options):
    return moderated(units, np.zeros_like(units.product), **options)


def test_two_classes_have_no_others_to_learn_from():
    units = drawn_from(np.random.default_rng(0), [4, 6])
    found = varied(units)
    np.testing.assert_allclose(found.variance, units.variance(units.along))
    v, w = found.variance[0, 1], found.variance[1, 0]
    welch = (v + w) ** 2 / (v**2 / 3 + w**2 / 5)
    assert found.pair_freedom[0, 1] == pytest.approx(welch)


def test_classes_that_vary_alike_lend_each_other_all_their_freedom():
    units = drawn_from(np.random.default_rng(1), [3] * 200)
    found = varied(units)
    off = ~np.eye(200, dtype=bool)
    assert np.median(found.freedom[off]) > 50  # of 2 each on their own
    plain, drawn = units.variance(units.along)[off], found.variance[off]
    assert drawn.std() < plain.std() / 5
    assert drawn.mean() == pytest.approx(1 / 3, rel=0.05)


def test_a_level_of_variance_of_ones_own_is_kept():
    scale = np.array([1.0, 1.0, 1.0, 5.0] * 20)
    units = drawn_from(np.random.default_rng(2), [4] * 80, scale)
    found = varied(units)
    off = ~np.eye(80, dtype=bool)
    loud = np.repeat(scale[:, None] == 5, 80, axis=1)
    assert found.variance[off & loud].mean() == pytest.approx(25 / 4, rel=0.1)
    assert found.variance[off & ~loud].mean() == pytest.approx(1 / 4, rel=0.1)


def test_classes_that_vary_each_along_their_own_lend_little():
    rng = np.random.default_rng(3)
    units = drawn_from(rng, [3] * 60)
    units.along[:] *= np.exp(rng.normal(0, 2, size=(60, 60)))[np.repeat(np.arange(60), 3)]
    assert np.median(varied(units).freedom[~np.eye(60, dtype=bool)]) < 5


def test_units_that_act_more_or_less_strongly_say_nothing_of_other_classes():
    rng = np.random.default_rng(4)
    profiles = 10 * np.repeat(np.eye(31), 2, axis=0)[:60]  # pairs of the same profile
    profiles -= profiles.mean(axis=1, keepdims=True)
    classes = np.repeat(np.arange(60), 6)
    strength = rng.normal(1, 0.3, size=(360, 1))
    units, _, _ = about(strength * profiles[classes] + 0.5 * rng.normal(size=(360, 31)), classes)
    related = profiles @ profiles.T > 50
    np.fill_diagonal(related, val=False)
    unrelated = profiles @ profiles.T < 0
    noise = 0.5**2 * np.diag(units.product).mean() / 6
    found = varied(units)
    assert found.variance[unrelated].mean() == pytest.approx(noise, rel=0.2)
    # Their own strength is in the variance of a product, and turns no profile.
    assert found.variance[related].mean() > 5 * noise
    assert varied(units, strength=False).variance[related].mean() < 1.2 * noise


def test_both_ends_of_the_interval_lie_at_the_critical_value():
    numerator, reach, vn, cov, vr, critical = (np.array([[v]]) for v in (2, 4, 0.04, 0.01, 0.09, 2))
    for end in fieller(numerator, reach, vn, cov, vr, critical=critical):
        variance = vn - 2 * end * cov + end**2 * vr
        assert (numerator - end * reach) ** 2 == pytest.approx(critical**2 * variance)
        assert -1 < end < 1


def test_a_class_that_is_noise_leaves_the_far_end_open():
    one = np.array([[1.0]])
    low, high = fieller(0 * one, 0 * one, one, 0 * one, one, critical=2 * one)
    assert (low, high) == (-1, 1)
    low, high = fieller(3 * one, 0.1 * one, one, 0 * one, one, critical=2 * one)
    assert low > 0
    assert high == 1


def test_fdr_is_scipys_over_pairs(some):
    found = class_correlation(*some)
    upper = np.triu_indices(4, 1)
    for kind in ("", "_perm"):
        p, q = getattr(found, "pvalue" + kind), getattr(found, "qvalue" + kind)
        np.testing.assert_allclose(q[upper], stats.false_discovery_control(p[upper]))
        np.testing.assert_array_equal(q, q.T)


def test_the_order_of_classes_changes_nothing_but_the_order(some):
    units, classes = some
    order = np.array([2, 0, 3, 1])
    found = class_correlation(units, classes, n_boot=1000, n_perm=1000)
    turned = class_correlation(units, order[classes], n_boot=1000, n_perm=1000)
    for name in ("r", "corrected"):
        np.testing.assert_allclose(
            getattr(turned, name)[np.ix_(order, order)], getattr(found, name), atol=1e-12
        )
    for name in ("low", "high", "pvalue", "pvalue_perm"):  # as far as other draws allow
        np.testing.assert_allclose(
            getattr(turned, name)[np.ix_(order, order)], getattr(found, name), atol=0.06
        )


def test_the_seed_decides_and_scale_does_not(some):
    units, classes = some
    first, again = (class_correlation(units, classes, random_state=3) for _ in range(2))
    scaled = class_correlation(7 * units + 2, classes, random_state=3)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_allclose(getattr(first, name), getattr(scaled, name), rtol=1e-6)


def test_known_correlations_are_covered_and_zeros_are_not_called():
    rng = np.random.default_rng(0)
    inside, called, false = [], 0, 0
    for seed in range(25):
        units, classes, truth = sampled(rng, [3, 5, 8, 12] * 3, n_features=100)
        found = class_correlation(units, classes, n_perm=20, random_state=seed)
        upper = np.triu_indices(12, 1)
        truth = truth[upper]
        inside.append((found.low[upper] <= truth) & (truth <= found.high[upper]))
        significant = found.qvalue[upper] < 0.05
        assert not ((found.qvalue_perm[upper] < 0.05) & ~significant).any()
        called += significant.sum()
        false += (significant & (truth == 0)).sum()
    assert 0.9 <= np.mean(inside) <= 0.98
    assert np.mean(np.array(inside)[:, truth != 0]) >= 0.9
    assert called >= 130  # of 150
    assert false / called <= 0.05


def test_codes_of_low_rank_are_covered_when_their_mixing_is_known():
    rng = np.random.default_rng(1)
    covered = {"mixing": [], "none": []}
    for seed in range(6):
        profiles = rng.normal(size=(20, 5)) @ rng.normal(size=(5, 100))
        classes = np.repeat(np.arange(20), 8)
        units = profiles[classes] + 6 * rng.normal(size=(160, 100))
        means = np.stack([units[classes == k].mean(axis=0) for k in range(20)])
        u, s, vt = np.linalg.svd(means, full_matrices=False)
        codes = (u[:, :5] * s[:5]) @ vt[:5]
        upper = np.triu_indices(20, 1)
        truth = np.corrcoef(profiles)[upper]
        for name, mixing in (("mixing", u[:, :5] @ u[:, :5].T), ("none", None)):
            found = class_correlation(
                units, classes, profiles=codes, mixing=mixing, n_perm=1, random_state=seed
            )
            covered[name].append(
                ((found.low[upper] <= truth) & (truth <= found.high[upper])).mean()
            )
    assert 0.9 <= np.mean(covered["mixing"]) <= 0.98
    assert np.mean(covered["none"]) < 0.9  # what ignoring it would cost


def test_what_all_units_share_is_more_than_0_and_no_more_than_chance():
    rng = np.random.default_rng(0)
    units = 2 * rng.normal(size=50) + rng.normal(size=(40, 50))
    found = class_correlation(units, np.repeat(np.arange(8), 5))
    upper = np.triu_indices(8, 1)
    assert (found.r[upper] > 0.8).all()
    assert (found.qvalue[upper] < 0.05).all()  # they are correlated, as any groups would be
    assert (found.qvalue_perm[upper] > 0.05).all()


def test_a_pair_that_is_opposed_where_all_others_are_alike_stands_out_from_chance():
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=(2, 200))
    units = 1.5 * shared + rng.normal(size=(150, 200))
    units[:5] += 2 * own
    units[5:10] -= 2 * own
    found = class_correlation(units, np.repeat(np.arange(30), 5), n_perm=100)
    assert -0.3 < found.corrected[0, 1] < 0
    # Chance makes correlations that are surely above 0, and none below it.
    assert found.pvalue[0, 1] > 1e6 * found.pvalue[2:, 2:][np.triu_indices(28, 1)].max()
    assert found.qvalue_perm[0, 1] < 0.05
    # What is surely above 0, and below what chance makes, is not opposed.
    assert (found.pvalue_perm >= found.pvalue)[np.triu_indices(30, 1)].all()


def test_a_class_of_one_unit_or_none_has_a_correlation_but_no_interval(some):
    units, classes = some
    keep = (classes != 1) | (np.cumsum(classes == 1) == 1)
    profiles = np.stack([units[classes == k].mean(axis=0) for k in range(4)])
    for rows in (keep, classes != 1):
        found = class_correlation(units[rows], classes[rows], profiles=profiles)
        assert np.isfinite(found.r).all()
        for name in FIELDS[2:]:
            values = getattr(found, name)
            assert np.isnan(values[1]).all(), name
            assert np.isfinite(values[0, [2, 3]]).all(), name


def test_where_no_class_has_two_units_nothing_is_known_of_the_noise():
    found = class_correlation(np.random.default_rng(0).normal(size=(3, 20)), [0, 1, 2])
    assert np.isfinite(found.r).all()
    off = ~np.eye(3, dtype=bool)
    for name in FIELDS[1:]:
        assert np.isnan(getattr(found, name)[off]).all(), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_boot": 0}, "n_boot=0"),
        ({"n_perm": 0}, "n_perm=0"),
        ({"level": 95}, "level=95"),
        ({"method": "kendall"}, "'pearson'"),
        ({"profiles": np.ones((4, 3))}, "60 features"),
        ({"profiles": np.ones((2, 60))}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(some, options, message):
    with pytest.raises(ValueError, match=message):
        class_correlation(*some, **options)


def test_one_class_per_unit(some):
    with pytest.raises(ValueError, match="classes"):
        class_correlation(some[0], some[1][:-1])
