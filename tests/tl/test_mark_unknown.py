"""Open set: the stated rate of false alarms holds, unknown classes are caught, files keep it."""

from __future__ import annotations

import logging
from itertools import pairwise

import anndata as ad
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, kstest

import sigilla as sg
from sigilla.errors import DataError
from sigilla.tl._typicality import Typicality, conformal_pvalues, typicality

RATES = (0.02, 0.05, 0.1, 0.2)
FIT = {"max_epochs": 4}


def of(distance, nearest=None, strength=None):
    n = len(distance)
    nearest = np.zeros(n, dtype=int) if nearest is None else np.asarray(nearest)
    strength = np.ones(n) if strength is None else np.asarray(strength)
    return Typicality(nearest, np.asarray(distance, dtype=float), strength)


# -- p-values ------------------------------------------------------------------------------------


def test_a_pvalue_is_the_share_of_known_signatures_that_are_as_unlike():
    p = conformal_pvalues(of([0.1, 0.2, 0.2, 0.3]), of([0.0, 0.2, 0.25, 0.9]), within=None, least=2)
    np.testing.assert_allclose(p, [5 / 5, 4 / 5, 2 / 5, 1 / 5])


def test_within_classes_and_small_classes_together():
    known = of([0.1, 0.2, 0.3, 0.7, 0.8, 0.5, 0.6], nearest=[0, 0, 0, 1, 1, 2, 2])
    asked = of([0.25, 0.75, 0.55, 0.65], nearest=[0, 1, 2, 5])
    p = conformal_pvalues(known, asked, within="class", least=3)
    np.testing.assert_allclose(p, [2 / 4, 2 / 5, 4 / 5, 3 / 5])


def test_a_small_group_takes_in_larger_classes_until_it_is_large_enough():
    known = of(np.linspace(0, 1, 12), nearest=[0] + [1] * 5 + [2] * 6)
    p = conformal_pvalues(known, of([2.0] * 3, nearest=[0, 1, 2]), within="class", least=5)
    np.testing.assert_allclose(p, [1 / 7, 1 / 7, 1 / 7])


def test_within_strength_compares_the_weak_with_the_weak():
    strength = np.repeat([1, 2, 3], 10)
    known = of(np.tile(np.arange(10), 3) + 10 * (3 - strength), strength=strength)
    p = conformal_pvalues(known, of([21, 21, 21], strength=[1, 2, 3]), within="strength", least=5)
    np.testing.assert_allclose(p, [10 / 11, 1 / 11, 1 / 11])


@given(st.integers(1, 40), st.integers(0, 100), st.sampled_from([None, "class", "strength"]))
def test_a_known_signature_is_marked_no_more_often_than_stated(n, seed, within):
    # Each of n + 1 exchangeable signatures in turn is the new one: that is the promise itself.
    rng = np.random.default_rng(seed)
    distance = rng.integers(0, 10, size=n + 1).astype(float)  # with ties
    p = [
        conformal_pvalues(
            of(np.delete(distance, i)), of(distance[i : i + 1]), within=within, least=1000
        )[0]
        for i in range(n + 1)
    ]
    for rate in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= rate) <= rate


def test_pvalues_of_known_signatures_are_uniform_within_every_group():
    rng = np.random.default_rng(0)
    nearest, new = rng.integers(4, size=8000), rng.integers(4, size=8000)
    known = of(rng.normal(nearest, 1 + nearest), nearest)
    p = conformal_pvalues(known, of(rng.normal(new, 1 + new), new), within="class", least=100)
    for k in range(4):
        assert kstest(p[new == k], "uniform").statistic < 0.06


def test_distances_are_one_minus_pearson_with_the_nearest_prototype(fitted):
    model = sg.get.model(fitted)
    found = typicality(model, fitted.X)
    prototypes = sg.get.prototypes(fitted).to_numpy().T
    expected = [
        1 - np.corrcoef(x, prototypes[k])[0, 1]
        for x, k in zip(fitted.X, found.nearest, strict=True)
    ]
    np.testing.assert_allclose(found.distance, expected, atol=1e-5)
    np.testing.assert_array_equal(found.nearest, fitted.obs["svqvae"].cat.codes)
    assert typicality(model, np.ones((1, fitted.n_vars), dtype=np.float32)).distance == [1]


# -- simulated releases --------------------------------------------------------------------------


def release(seed, n_classes=6, left_out=2):
    """Signatures of known classes, 10 perturbagens each, and of others."""
    adata = sg.datasets.simulate_lincs(
        class_sizes=[500] * (n_classes + left_out),
        n_genes=60,
        perturbagen_effect=0.3,
        cell_line_effect=0.05,
        random_state=seed,
    )
    unknown = (adata.obs["pcl"].cat.codes >= n_classes).to_numpy()
    known = adata[~unknown].copy()
    known.obs["pcl"] = known.obs["pcl"].cat.remove_unused_categories()
    return known, adata[unknown].copy()


@pytest.fixture(scope="module")
def fitted():
    known, _ = release(0)
    adata = known[::4].copy()
    sg.tl.svqvae(adata, **FIT)
    return adata


@pytest.fixture(scope="module")
def split():
    """A calibrated reference, fresh signatures of its perturbagens, and classes left out."""
    known, unknown = release(1)
    known = known[np.random.default_rng(0).permutation(known.n_obs)]
    reference, fresh = known[:1000].copy(), known[1000:].copy()
    sg.tl.svqvae(reference, **FIT)
    sg.tl.calibrate(reference, unit=None, n_splits=10)
    return reference, fresh, unknown


def rate_is_held(p, rate, n_known):
    """Whether no more are marked than a rate allows, given that n_known signatures set it."""
    # Marked of m new ones, when both are exchangeable: Beta-binomial.
    k = int(rate * (n_known + 1))
    return (p <= rate).sum() <= betabinom.ppf(0.999, len(p), max(k, 1), n_known + 1 - k)


@pytest.mark.parametrize("within", ["class", "strength", None])
def test_the_stated_rate_is_held_on_fresh_known_signatures(split, within):
    reference, fresh, _ = split
    for rate in RATES:
        sg.tl.mark_unknown(fresh, reference, false_alarm_rate=rate, within=within)
        p = fresh.obs["svqvae_unknown_pvalue"]
        np.testing.assert_array_equal(fresh.obs["svqvae_unknown"], p <= rate)
        assert rate_is_held(p, rate, 1000)
        # And it is not held by marking nothing.
        assert (p <= rate).mean() > rate / 3
        assert fresh.uns["svqvae_unknown"]["n_known"] == 1000


def test_within_classes_the_rate_is_held_for_each_class(split):
    reference, fresh, _ = split
    sg.tl.map_query(fresh, reference)
    sg.tl.mark_unknown(fresh, reference, false_alarm_rate=0.1)
    nearest = reference.uns["svqvae"]["weights"]["held_out_nearest"]
    for k, name in enumerate(reference.obs["pcl"].cat.categories):
        mine = fresh.obs["svqvae"] == name
        assert rate_is_held(fresh.obs["svqvae_unknown_pvalue"][mine], 0.1, (nearest == k).sum())


def test_classes_that_are_not_in_the_reference_are_caught_more_often(split):
    reference, fresh, unknown = split
    for adata in (fresh, unknown):
        sg.tl.mark_unknown(adata, reference, false_alarm_rate=0.1, within="strength")
    assert unknown.obs["svqvae_unknown"].mean() > 2.5 * fresh.obs["svqvae_unknown"].mean()


def test_new_perturbagens_of_known_classes_raise_no_more_alarms_than_stated():
    known, _ = release(2)
    names = known.obs["pert_id"].cat.categories
    reference = known[known.obs["pert_id"].isin(names[::2])].copy()
    fresh = known[~known.obs["pert_id"].isin(names[::2])].copy()
    sg.tl.svqvae(reference, **FIT)
    sg.tl.calibrate(reference, n_splits=5)
    sg.tl.mark_unknown(fresh, reference, false_alarm_rate=0.1, within=None)
    # Signatures of a perturbagen go together, so the spread is that of 30 perturbagens.
    by_pert = fresh.obs.groupby("pert_id", observed=True)["svqvae_unknown"].mean()
    assert by_pert.mean() < 0.1 + 3 * by_pert.std() / len(by_pert) ** 0.5
    assert fresh.obs["svqvae_unknown"].any()


def test_signatures_that_the_fit_has_seen_would_raise_alarms(split):
    reference, _, _ = split
    seen = typicality(sg.get.model(reference), reference.X).distance
    left_out = reference.uns["svqvae"]["weights"]["held_out_distance"]
    assert np.median(seen) < np.median(left_out)


# -- what is kept --------------------------------------------------------------------------------


def pvalues(query, reference):
    sg.tl.mark_unknown(query, reference)
    return query.obs["svqvae_unknown_pvalue"].to_numpy()


def test_every_file_of_the_model_keeps_the_calibration(split, tmp_path):
    reference, fresh, _ = split
    fresh = fresh[:200].copy()
    expected = pvalues(fresh, reference)
    model = sg.get.model(reference)
    assert len(sg.models.load(model.save(tmp_path / "m.safetensors")).held_out()["nearest"]) == 1000
    np.testing.assert_array_equal(
        pvalues(fresh, sg.models.load(tmp_path / "m.safetensors")), expected
    )
    for suffix in ("h5ad", "zarr"):
        getattr(reference, f"write_{suffix}")(tmp_path / f"r.{suffix}")
        again = getattr(ad, f"read_{suffix}")(tmp_path / f"r.{suffix}")
        np.testing.assert_array_equal(pvalues(fresh, again), expected)
    # An annotated query is as good a reference as the one that annotated it.
    sg.tl.map_query(fresh, reference)
    np.testing.assert_array_equal(pvalues(fresh.copy(), fresh), expected)
    fresh.write_h5ad(tmp_path / "fresh.h5ad")
    assert ad.read_h5ad(tmp_path / "fresh.h5ad").obs["svqvae_unknown"].dtype == bool


def test_missing_genes_do_not_enter(split):
    reference, fresh, _ = split
    part = fresh[:50, 5:].copy()
    sg.tl.mark_unknown(part, reference)
    model = sg.get.model(reference)
    x = np.tile(model.typical().numpy(), (50, 1))
    x[:, 5:] = part.X
    k = typicality(model, x).nearest
    prototypes = sg.get.prototypes(reference).to_numpy().T[:, 5:]
    distance = [1 - np.corrcoef(a, prototypes[b])[0, 1] for a, b in zip(part.X, k, strict=True)]
    known = Typicality(
        *(
            reference.uns["svqvae"]["weights"][f"held_out_{n}"]
            for n in ("nearest", "distance", "strength")
        )
    )
    expected = conformal_pvalues(known, of(distance, k), within="class")
    np.testing.assert_allclose(part.obs["svqvae_unknown_pvalue"], expected, atol=2e-3)


def test_folds_leave_whole_perturbagens_out(fitted, monkeypatch):
    from sigilla.tl import _calibrate

    adata = fitted.copy()
    refits = []
    work = _calibrate._left_out

    def spy(job):
        refits.append(job)
        return work(job)

    monkeypatch.setattr(_calibrate, "_left_out", spy)
    sg.tl.calibrate(adata, n_splits=3)
    rows = {row.tobytes(): pert for row, pert in zip(adata.X, adata.obs["pert_id"], strict=True)}
    for job in refits:
        assert not {rows[r.tobytes()] for r in job.x} & {rows[r.tobytes()] for r in job.asked}
        assert job.config == sg.get.model(adata).config
    assert sum(len(job.asked) for job in refits) == adata.n_obs


def test_copies_and_keys(fitted, split):
    reference, fresh, _ = split
    before = set(fitted.uns["svqvae"]["weights"])
    copied = sg.tl.calibrate(fitted, n_splits=2, copy=True)
    assert set(fitted.uns["svqvae"]["weights"]) == before
    assert set(copied.uns["svqvae"]["weights"]) - before == {
        "held_out_distance",
        "held_out_nearest",
        "held_out_strength",
    }
    query = fresh[:20].copy()
    query.obs = query.obs[["pcl"]]
    marked = sg.tl.mark_unknown(query, reference, key_added="new", copy=True)
    assert list(marked.obs) == ["pcl", "new_unknown", "new_unknown_pvalue"]
    assert list(query.obs) == ["pcl"]


@pytest.mark.parametrize("within", ["class", "strength", None])
def test_lower_rates_mark_fewer_and_have_the_same_pvalues(split, within):
    reference, _, unknown = split
    marked, p = [], []
    for rate in RATES:
        sg.tl.mark_unknown(unknown, reference, false_alarm_rate=rate, within=within)
        marked.append(unknown.obs["svqvae_unknown"].to_numpy())
        p.append(unknown.obs["svqvae_unknown_pvalue"].to_numpy())
    for few, many in pairwise(marked):
        assert (few <= many).all()
    assert (np.array(p) == p[0]).all()


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"false_alarm_rate": 0}, ValueError, "false_alarm_rate=0 must be a number"),
        ({"false_alarm_rate": 1.5}, ValueError, r"false_alarm_rate=1\.5"),
        ({"false_alarm_rate": "5%"}, ValueError, "false_alarm_rate='5%'"),
        ({"key_added": "a/b"}, ValueError, "key_added='a/b': a slash"),
        ({"false_alarm_rate": 1e-4}, DataError, "needs 9999 left-out signatures.*has 1000"),
        ({"within": "classes"}, ValueError, "did you mean 'class'"),
        ({"key": "other"}, KeyError, "other"),
        ({"layer": "z"}, KeyError, "layer='z'"),
        ({"min_overlap": 2}, ValueError, "min_overlap=2"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(split, options, error, message):
    reference, fresh, _ = split
    query = fresh[:5].copy()
    query.obs, query.uns = query.obs[["pcl"]], {}
    with pytest.raises(error, match=message):
        sg.tl.mark_unknown(query, reference, **options)
    assert list(query.obs) == ["pcl"]
    assert not query.uns


def test_a_reference_without_calibration_is_sent_to_it(fitted):
    with pytest.raises(DataError, match=r"sg\.tl\.calibrate"):
        sg.tl.mark_unknown(fitted.copy(), fitted)
    with pytest.raises(TypeError, match="neither a fitted AnnData"):
        sg.tl.mark_unknown(fitted.copy(), "fitted.h5ad")


def test_what_cannot_be_calibrated_says_why(fitted, caplog):
    with pytest.raises(KeyError, match=r"did you mean 'pert_id'.*unit=None"):
        sg.tl.calibrate(fitted, unit="pert")
    for wrong in (1, 2.5, "5"):
        with pytest.raises(ValueError, match=f"n_splits={wrong!r} must be a whole number"):
            sg.tl.calibrate(fitted, n_splits=wrong)
    with pytest.raises(DataError, match="'GENE0060'"):
        sg.tl.calibrate(fitted[:, :59].copy())
    changed = fitted.copy()
    changed.obs["pert_id"] = changed.obs["pcl"]
    with pytest.raises(DataError, match="no class has two"):
        sg.tl.calibrate(changed)
    one = changed.obs["pcl"] == changed.obs["pcl"].iloc[0]
    changed.obs["pert_id"] = fitted.obs["pert_id"].astype(object).where(~one, "BRD-only")
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        sg.tl.calibrate(changed, n_splits=2)
    assert "single value of obs['pert_id']" in caplog.text
    mapped = fitted.copy()
    sg.tl.map_query(mapped, fitted)
    with pytest.raises(DataError, match="not fitted to classes"):
        sg.tl.calibrate(mapped)
    del changed.obs["pcl"]
    with pytest.raises(DataError, match="'pcl'"):
        sg.tl.calibrate(changed)


def test_a_rate_that_groups_cannot_reach_is_told(split, caplog):
    reference, fresh, _ = split
    with caplog.at_level("WARNING", logger="sigilla"):
        sg.tl.mark_unknown(fresh[:5].copy(), reference, false_alarm_rate=0.005)
    assert "within=None" in caplog.text
    caplog.clear()
    sg.tl.mark_unknown(fresh[:5].copy(), reference, false_alarm_rate=0.005, within=None)
    assert not caplog.text
