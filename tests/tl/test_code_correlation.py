"""Code correlation from AnnData to table: what is resampled, what is stored, what is refused."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError
from sigilla.metrics import class_correlation
from sigilla.tl._code_correlation import _adjusted, _mixing

NAMES = ["mTOR/PI3K inhibitor", "<script>", "=cmd()"]
PROFILES = np.random.default_rng(0).normal(size=(3, 40))
FAST = {"n_boot": 30, "n_perm": 20}
PAIR = ["class_a", "class_b"]


@pytest.fixture
def fitted(coded):
    """Three classes of four perturbagens, each in three wells of two cell lines."""
    adata = coded(PROFILES, NAMES, per_class=12)
    adata.obs["pert_id"] = pd.Categorical([f"BRD-{i // 3:02d}" for i in range(36)])
    adata.obs["cell_id"] = np.tile(["A375", "MCF7"], 18)
    return adata


def stats(adata, key="svqvae"):
    return adata.uns[key]["code_correlation_stats"]


def test_a_fit_gets_statistics_of_codes_and_of_means(fitted):
    assert sg.tl.code_correlation(fitted, **FAST) is None
    found = stats(fitted)
    np.testing.assert_allclose(found["r"], fitted.uns["svqvae"]["code_correlation"])
    assert found["n_units"].tolist() == [4, 4, 4]
    by_pert = np.stack([fitted.X[i : i + 3].mean(axis=0) for i in range(0, 36, 3)])
    means = class_correlation(by_pert, np.repeat(np.arange(3), 4), **FAST)
    tests = ("pvalue", "qvalue", "pvalue_perm", "qvalue_perm")
    for name in ("r", "corrected", "low", "high", *tests):
        np.testing.assert_allclose(found["means"][name], getattr(means, name), rtol=1e-5)


def test_the_table_has_a_row_per_pair_with_names_as_values(fitted):
    sg.tl.code_correlation(fitted, **FAST)
    table = sg.get.code_correlation_stats(fitted)
    assert len(table) == 3
    assert set(table["class_a"]) | set(table["class_b"]) == set(NAMES)
    assert table["pvalue"].is_monotonic_increasing
    row = table[(table["class_a"] == NAMES[0]) & (table["class_b"] == NAMES[2])].iloc[0]
    assert row["r"] == stats(fitted)["r"][0, 2]
    assert row["high_means"] == stats(fitted)["means"]["high"][0, 2]
    assert row["n_a"] == row["n_b"] == 4


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_it_survives_a_file(fitted, tmp_path, suffix):
    sg.tl.code_correlation(fitted, by="cell_id", **FAST)
    path = tmp_path / f"fitted.{suffix}"
    getattr(fitted, f"write_{suffix}")(path)
    again = getattr(ad, f"read_{suffix}")(path)
    pd.testing.assert_frame_equal(
        sg.get.code_correlation_stats(again), sg.get.code_correlation_stats(fitted)
    )


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_wells_of_a_perturbagen_are_not_counted_as_perturbagens(fitted):
    sg.tl.code_correlation(fitted, unit=None, **FAST)
    assert stats(fitted)["n_units"].tolist() == [12, 12, 12]
    assert "unit" not in stats(fitted)["params"]
    # Ten copies of each well add nothing to what is known of a class.
    repeated = fitted[np.repeat(np.arange(36), 10)].copy()
    repeated.obs_names_make_unique()
    sg.tl.code_correlation(repeated, **FAST)
    sg.tl.code_correlation(fitted, **FAST)
    for name in ("r", "corrected", "low", "high", "pvalue"):
        np.testing.assert_allclose(stats(repeated)[name], stats(fitted)[name], atol=1e-4)


def test_without_perturbagens_observations_are_resampled_and_the_log_says_so(fitted, caplog):
    del fitted.obs["pert_id"]
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        sg.tl.code_correlation(fitted, **FAST)
    assert "observations are resampled" in caplog.text
    assert stats(fitted)["n_units"].tolist() == [12, 12, 12]


def test_a_class_of_one_perturbagen_has_no_interval_and_the_log_names_it(fitted, caplog):
    pert = fitted.obs["pert_id"].astype(object)
    fitted.obs["pert_id"] = np.where(fitted.obs["pcl"] == "<script>", "BRD-only", pert)
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        sg.tl.code_correlation(fitted, **FAST)
    assert "'<script>'" in caplog.text
    table = sg.get.code_correlation_stats(fitted).set_index(["class_a", "class_b"])
    assert table["low"].isna().sum() == table["pvalue"].isna().sum() == 2
    assert table["low"].notna()[NAMES[0], NAMES[2]]
    assert table["r"].notna().all()


def test_spaces_and_copies(fitted):
    before = set(fitted.uns["svqvae"])
    latent = sg.tl.code_correlation(fitted, space="latent", method="spearman", copy=True, **FAST)
    assert set(fitted.uns["svqvae"]) == before
    expected = pd.DataFrame(fitted.uns["svqvae"]["codes"].T).corr("spearman")
    np.testing.assert_allclose(stats(latent)["r"], expected, atol=1e-9)
    assert stats(latent)["params"]["space"] == "latent"
    # The means beside them stay those of the data.
    genes = sg.tl.code_correlation(fitted, method="spearman", copy=True, **FAST)
    np.testing.assert_allclose(stats(latent)["means"]["r"], stats(genes)["means"]["r"])


def test_a_cell_line_can_be_asked_for_alone(fitted):
    one = fitted[fitted.obs["cell_id"] == "MCF7"]
    found = sg.tl.code_correlation(one, copy=True, **FAST)
    assert stats(found)["n_units"].tolist() == [4, 4, 4]
    assert "code_correlation_stats" not in fitted.uns["svqvae"]


def test_what_a_cell_line_adds_to_all_is_taken_out(fitted):
    rng = np.random.default_rng(0)
    offset = 3 * rng.normal(size=40).astype(np.float32)
    shifted = fitted.copy()
    shifted.X = shifted.X + np.where(shifted.obs["cell_id"] == "MCF7", 1, 0)[:, None] * offset
    fitted.X = fitted.X + offset / 2
    for adata in (fitted, shifted):
        sg.tl.code_correlation(adata, by="cell_id", **FAST)
    for name in ("r", "corrected", "low", "high"):
        np.testing.assert_allclose(
            stats(shifted)["means"][name], stats(fitted)["means"][name], atol=1e-4
        )


def test_averaging_over_lines_is_a_least_squares_fit_of_both_effects():
    rng = np.random.default_rng(0)
    unit, line = np.array([0, 0, 1, 2, 2, 3]), np.array([0, 1, 1, 1, 2, 0])
    means = rng.normal(size=(6, 5))
    design = np.column_stack([np.eye(4)[unit], np.eye(3)[line][:, 1:]])
    fit = np.linalg.lstsq(design, means, rcond=None)[0]
    lines = np.vstack([np.zeros(5), fit[4:]])
    np.testing.assert_allclose(_adjusted(means, unit, line, 4), fit[:4] + lines.mean(axis=0))


def test_mixing_says_how_codes_follow_from_class_means():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(60, 30)), np.repeat([0, 1, 2, -1], 15)
    means = np.stack([x[label == k].mean(axis=0) for k in range(3)])
    mixing = rng.normal(size=(3, 3))
    np.testing.assert_allclose(_mixing(mixing @ means, x, label), mixing)


def test_whole_fits_recover_the_truth_within_their_intervals():
    upper = np.triu_indices(4, 1)
    inside = {"codes": [], "class means": []}
    for seed in range(4):
        adata = sg.datasets.simulate_lincs(
            class_sizes=[300, 400, 500, 600], n_genes=100, cell_line_effect=0, random_state=seed
        )
        sg.tl.svqvae(adata, max_epochs=2)
        sg.tl.code_correlation(adata, n_perm=2)
        truth, found = adata.uns["truth"]["correlation"][upper], stats(adata)
        for name, part in zip(inside, (found, found["means"]), strict=True):
            inside[name].append((part["low"][upper] <= truth) & (truth <= part["high"][upper]))
            assert (part["high"] - part["low"])[upper].max() < 1
    for name, kept in inside.items():
        assert np.mean(kept) > 0.87, name


def test_codes_without_classes_are_refused():
    adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30)
    sg.tl.vqvae(adata, max_epochs=1, n_codes=4)
    with pytest.raises(DataError, match="without labels"):
        sg.tl.code_correlation(adata, "vqvae")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_boot": 0}, ValueError, "n_boot=0"),
        ({"n_perm": 0}, ValueError, "n_perm=0"),
        ({"space": "gene"}, ValueError, "'genes'"),
        ({"method": "kendall"}, ValueError, "method='kendall'"),
        ({"level": 1}, ValueError, "level=1"),
        ({"unit": "pert"}, KeyError, "pert_id"),
        ({"by": "cell"}, KeyError, "cell_id"),
        ({"key": "other"}, KeyError, "other"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(fitted, options, error, message):
    with pytest.raises(error, match=message):
        sg.tl.code_correlation(fitted, **options)
    assert "code_correlation_stats" not in fitted.uns["svqvae"]


def test_lost_labels_genes_and_statistics_are_named(fitted):
    with pytest.raises(DataError, match=r"sg\.tl\.code_correlation"):
        sg.get.code_correlation_stats(fitted)
    with pytest.raises(DataError, match="'g39'"):
        sg.tl.code_correlation(fitted[:, :39].copy())
    del fitted.obs["pcl"]
    with pytest.raises(DataError, match="'pcl'"):
        sg.tl.code_correlation(fitted)


def test_on_a_real_plate_neighbours_on_a_pathway_are_surest_and_the_vehicle_is_like_chance(mirror):
    adata = ad.read_h5ad(mirror("lincs/l1000_ljp005_a375_zs.h5ad"))
    names = adata.obs["moa"].astype(str).str.split("; ").str[0]
    adata.obs["pcl"] = names.where(names != "unknown").astype("category")
    sg.tl.svqvae(adata, "pcl")
    sg.tl.code_correlation(adata)
    found = sg.get.code_correlation_stats(adata)
    found = found.sort_values("pvalue")
    assert found[PAIR].iloc[:2].to_numpy().tolist() == [
        ["MEK inhibitor", "RAF inhibitor"],
        ["MTOR inhibitor", "PI3K inhibitor"],
    ]
    assert (found["qvalue"].iloc[:2] < 0.001).all()
    assert (found["low"].iloc[:2] > 0.3).all()
    assert found["qvalue_perm"].iloc[0] < 0.02
    assert 1 <= (found["qvalue_perm"] < 0.05).sum() < 5
    assert (found["qvalue"] < 0.05).sum() > 10  # many compounds share that they do little
    # One perturbagen tells nothing of others.
    vehicle = (found[PAIR] == "vehicle control").any(axis=1)
    assert found.loc[vehicle, "qvalue"].isna().all()
    # Nor do its wells, asked instead, make it more alike to any class than chance does: classes
    # of compounds that mostly do nothing here are like the vehicle, and like each other.
    adata.obs["unit"] = adata.obs["pert_id"].astype(str)
    control = (adata.obs["pert_type"] == "ctl_vehicle").to_numpy()
    adata.obs.loc[control, "unit"] = adata.obs_names[control]
    sg.tl.code_correlation(adata, unit="unit")
    found = sg.get.code_correlation_stats(adata)
    vehicle = (found[PAIR] == "vehicle control").any(axis=1)
    assert not (found.loc[vehicle, ["qvalue", "qvalue_perm"]] < 0.05).all(axis=1).any()
    assert found.loc[vehicle, "qvalue_perm"].notna().any()
