"""Generated signatures against real ones: cases with a known answer."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist, pdist

import sigilla as sg
from sigilla.errors import DataError

CLASSES = ["mTOR/PI3K inhibitor", "<script>", "third"]


def signatures(centres, n, noise, seed):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(centres)), n)
    x = centres[label] + noise * rng.normal(size=(len(label), centres.shape[1]))
    obs = pd.DataFrame({"pcl": np.array(CLASSES)[label]}, index=[f"s{i}" for i in range(len(x))])
    return ad.AnnData(x.astype(np.float32), obs)


@pytest.fixture
def centres():
    return 2 * np.random.default_rng(0).normal(size=(3, 40))


@pytest.fixture
def real(centres):
    return signatures(centres, 30, 1.5, 1)


def judged(*args, **options):
    return sg.tl.judge_generated(*args, **options).set_index("class")


def test_fresh_signatures_of_the_same_making_are_as_good_as_real_ones(centres, real):
    found = judged(signatures(centres, 60, 1.5, 2), real)
    np.testing.assert_allclose(found["own"], found["own_real"], atol=0.1)
    np.testing.assert_allclose(found["distance"], found["distance_real"], rtol=0.08)
    np.testing.assert_allclose(found["spread"], found["spread_real"], rtol=0.08)
    assert found["n_generated"].tolist() == [60, 60, 60, 180]
    assert found["n_real"].tolist() == [30, 30, 30, 90]
    np.testing.assert_allclose(found["own_chance"], 1 / 3)


def test_copies_are_nearer_than_real_signatures_ever_are(real):
    found = judged(real.copy(), real)
    assert (found["own"] == 1).all()
    np.testing.assert_allclose(found["distance"], 0, atol=1e-6)
    assert (found["distance_real"] > 0.1).all()


def test_prototypes_alone_show_as_too_little_spread(centres, real):
    found = judged(signatures(centres, 20, 0.1, 3), real)
    assert (found["own"] == 1).all()
    assert (found["spread"] < 0.1 * found["spread_real"]).all()
    assert (found["distance"] < found["distance_real"]).all()


def test_the_wrong_class_and_noise_show_in_their_own_share(centres, real):
    swapped = signatures(centres, 20, 1.0, 4)
    other = dict(zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True))
    swapped.obs["pcl"] = swapped.obs["pcl"].map(other)
    assert (judged(swapped, real)["own"] < 0.1).all()
    noise = signatures(0 * centres, 300, 1.0, 5)
    found = judged(noise, real)
    assert found.loc["all", "own"] == pytest.approx(1 / 3, abs=0.1)
    assert (found["distance"] > found["distance_real"]).all()


def test_chance_is_what_shuffled_labels_give(centres):
    real = signatures(centres, 40, 1.5, 6)[:90].copy()  # 40, 40 and 10 of the classes
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(40):
        shuffled = real.copy()
        shuffled.obs["pcl"] = rng.permutation(real.obs["pcl"])
        shares.append(judged(signatures(centres, 30, 1.5, 8), shuffled)["own"])
    expected = judged(signatures(centres, 30, 1.5, 8), real)["own_chance"]
    np.testing.assert_allclose(np.mean(shares, axis=0), expected, atol=0.06)
    np.testing.assert_allclose(expected[CLASSES], [40 / 90, 40 / 90, 10 / 90])


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
@pytest.mark.parametrize("use_rep", [None, "X_vae"])
def test_the_figures_are_scipys(centres, real, metric, use_rep):
    new, held = signatures(centres, 7, 1.5, 9), signatures(centres, 5, 1.5, 10)
    for adata in (new, held, real):
        adata.obsm["X_vae"] = adata.X[:, :6] * 2
    found = judged(new, real, held_out=held, metric=metric, use_rep=use_rep)

    def matrix(adata):
        return adata.X if use_rep is None else adata.obsm[use_rep]

    for name in CLASSES:
        for suffix, adata in (("", new), ("_real", held)):
            mine = matrix(adata)[(adata.obs["pcl"] == name).to_numpy()]
            far = cdist(mine, matrix(real), metric)
            own = (real.obs["pcl"].to_numpy()[far.argmin(axis=1)] == name).mean()
            row = found.loc[name]
            assert row[f"own{suffix}"] == pytest.approx(own)
            assert row[f"distance{suffix}"] == pytest.approx(np.median(far.min(axis=1)), rel=1e-3)
            assert row[f"spread{suffix}"] == pytest.approx(pdist(mine, metric).mean(), rel=1e-3)
    np.testing.assert_allclose(found.loc["all", "own"], found.loc[CLASSES, "own"].mean())


def test_real_signatures_without_a_class_are_no_neighbours(centres, real):
    new = signatures(centres, 10, 1.5, 11)
    expected = judged(new, real)
    more = ad.concat([real, new.copy()], index_unique="-")
    more.obs["pcl"] = [*real.obs["pcl"], *[None] * new.n_obs]
    pd.testing.assert_frame_equal(judged(new, more), expected)


def test_one_signature_of_a_class_has_no_spread(centres, real):
    found = judged(signatures(centres, 1, 1.5, 12), real)
    assert found["spread"].isna().all()
    assert found["spread_real"].notna().all()


def test_wrong_input_is_named(centres, real):
    new = signatures(centres, 5, 1.5, 13)
    with pytest.raises(DataError, match=r"adata\.obs\['pcl'\] has no signature of 'third'"):
        sg.tl.judge_generated(new, real[:60])
    with pytest.raises(DataError, match=r"held_out\.obs\['pcl'\] has no signature of 'third'"):
        sg.tl.judge_generated(new, real, held_out=real[:60])
    with pytest.raises(KeyError, match=r"label_key='moa' not found.*generated\.obs"):
        sg.tl.judge_generated(new, real, label_key="moa")
    new.obs.loc["s0", "pcl"] = None
    with pytest.raises(DataError, match=r"generated\.obs\['pcl'\] has no class for 1 of 15"):
        sg.tl.judge_generated(new, real)


@pytest.mark.parametrize("argument", ["generated", "adata", "held_out"])
@pytest.mark.parametrize(
    ("spoil", "options", "error", "message"),
    [
        (lambda a: a.obs.pop("pcl"), {}, KeyError, r"label_key='pcl' not.*columns of {}\.obs"),
        (lambda a: a.obsm.pop("X_z"), {"use_rep": "X_z"}, KeyError, r"use_rep='X_z'.*{}\.obsm"),
        (lambda a: a.layers.pop("l"), {"layer": "l"}, KeyError, r"layer='l'.*{}\.layers"),
        (lambda a: a.X.__setitem__(0, np.nan), {}, DataError, r"{}\.X has 40 NaN"),
        (
            lambda a: a.layers["l"].__setitem__(0, np.nan),
            {"layer": "l"},
            DataError,
            r"{}\.layers\['l'\] has 40 NaN",
        ),
    ],
)
def test_the_argument_at_fault_is_named(centres, real, argument, spoil, options, error, message):
    given = {"generated": signatures(centres, 5, 1.5, 13), "adata": real, "held_out": real.copy()}
    for adata in given.values():
        adata.obsm["X_z"] = adata.X[:, :3].copy()
        adata.layers["l"] = adata.X.copy()
    spoil(given[argument])
    with pytest.raises(error, match=message.format(argument)):
        sg.tl.judge_generated(**given, **options)


def test_what_two_arguments_do_not_share_is_told_by_their_names(centres, real):
    new = signatures(centres, 5, 1.5, 13)
    new.var_names = [f"other{i}" for i in range(40)]
    with pytest.raises(DataError, match="generated and adata have no gene in common"):
        sg.tl.judge_generated(new, real)
    with pytest.raises(DataError, match="held_out and adata have no gene in common"):
        sg.tl.judge_generated(real, real, held_out=new)


def test_generated_signatures_of_simulated_classes_stand_the_test():
    """On signatures that the model has not seen: near the ceiling, and neither copies nor alike."""
    adata = sg.datasets.simulate_lincs(class_sizes=[150] * 4, n_genes=150, random_state=1)
    seen = np.random.default_rng(0).random(adata.n_obs) < 0.7
    fitted = adata[seen].copy()
    sg.tl.svqvae(fitted, "pcl", max_epochs=40, n_hidden=64)
    new = sg.tl.generate(fitted, n=100)
    found = judged(new, fitted, held_out=adata[~seen]).loc["all"]
    assert found["own"] > found["own_real"] - 0.15
    assert found["own"] > found["own_chance"] + 0.3
    assert found["distance"] == pytest.approx(found["distance_real"], rel=0.15)
    assert found["spread"] == pytest.approx(found["spread_real"], rel=0.15)


def test_generated_signatures_of_the_real_plate_vary_as_real_ones_do(mirror):
    plate = ad.read_h5ad(mirror("lincs/l1000_ljp005_a375_zs.h5ad"))
    active = np.abs(plate.X).mean(axis=1) > 1.2
    mechanism = plate.obs["moa"].astype("string").where(active)
    counts = mechanism.value_counts()
    plate = plate[mechanism.isin(counts.index[counts >= 5]).to_numpy()].copy()
    plate.obs["moa"] = plate.obs["moa"].astype(str)
    sg.tl.svqvae(plate, "moa")
    new = sg.tl.generate(plate, n=100)
    found = judged(new, plate, label_key="moa").loc["all"]
    assert found["own"] > 3 * found["own_chance"]
    assert found["distance"] == pytest.approx(found["distance_real"], rel=0.15)
    assert found["spread"] == pytest.approx(found["spread_real"], rel=0.15)
