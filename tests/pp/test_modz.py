"""Consensus signatures: cmapPy's to 1e-6, whatever the matrix is kept in."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import spearmanr

import sigilla as sg
from sigilla.errors import DataError
from sigilla.pp import _replicates

SIZES = [1, 2, 3, 3, 5, 8, 1, 2]


@pytest.fixture
def replicates():
    """Groups of 1 to 8 wells in random order, each around its own signature, with an outlier."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    signatures = rng.normal(0, 2, (len(SIZES), 120))
    x = signatures[group] + rng.normal(0, 1.5, (len(group), 120))
    x[np.flatnonzero(group == 5)[0]] *= -3
    obs = pd.DataFrame(
        {
            "pert_id": [f"BRD-{g}" for g in group],
            "cell_id": pd.Categorical(np.where(group < 4, "MCF7", "A375")),
            "well": [f"A{i}" for i in range(len(group))],
            "dose": np.where(group == 2, np.nan, group * 1.5),
        },
        index=[f"w{i}" for i in range(len(group))],
    )
    adata = ad.AnnData(x, obs, pd.DataFrame(index=[f"g{i}" for i in range(120)]))
    adata.var["landmark"] = np.arange(120) < 50
    return adata


def cmappy_consensus(x, **options):
    """One group of cmapPy's, replicates x genes."""
    agg_wt_avg = pytest.importorskip("cmapPy.math.agg_wt_avg")
    signature, _, _, weights = agg_wt_avg.agg_wt_avg(pd.DataFrame(x.T), **options)
    return np.asarray(signature).ravel(), weights


# -- against cmapPy -------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["spearman", "pearson"])
def test_consensus_equals_cmappys(replicates, metric):
    found = sg.pp.modz(replicates, "pert_id", metric=metric)
    assert found.obs_names.tolist() == [f"BRD-{g}" for g in range(len(SIZES))]
    for name in found.obs_names:
        wells = replicates[replicates.obs["pert_id"] == name]
        expected, _ = cmappy_consensus(np.asarray(wells.X), corr_metric=metric)
        np.testing.assert_allclose(found[name].X.ravel(), expected, rtol=0, atol=1e-6)


def test_consensus_of_the_real_plate_equals_cmappys(mirror):
    adata = ad.read_h5ad(mirror("lincs/l1000_ljp005_a375_zs.h5ad"))
    adata.X = adata.X.astype(np.float64)
    found = sg.pp.modz(adata, "pert_iname")
    assert found.n_obs == adata.obs["pert_iname"].nunique()
    for name in found.obs_names:
        expected, _ = cmappy_consensus(adata[adata.obs["pert_iname"] == name].X)
        np.testing.assert_allclose(found[name].X.ravel(), expected, rtol=0, atol=1e-6)
    # A375 has a mutant BRAF: nothing acts more reproducibly on it than inhibitors of MEK and RAF.
    strongest = found.obs["tas"].nlargest(4).index
    assert {"trametinib", "AZD-8330", "PD-0325901"} < set(strongest)


def test_rounded_weights_of_large_groups_are_reported_and_can_be_exact(replicates, caplog):
    rng = np.random.default_rng(1)
    many = ad.AnnData(
        1 + rng.normal(size=(3000, 20)),
        pd.DataFrame({"g": "x"}, index=[f"w{i}" for i in range(3000)]),
    )
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        rounded = sg.pp.modz(many, "g")
    assert "decimals=None does not round" in caplog.text
    exact = sg.pp.modz(many, "g", decimals=None)
    np.testing.assert_allclose(exact.X.mean(), 1, atol=0.05)
    assert abs(rounded.X.mean() - exact.X.mean()) > 0.01


# -- what it does ---------------------------------------------------------------------------------


def test_groups_of_one_pass_through_and_an_outlier_hardly_counts(replicates):
    found = sg.pp.modz(replicates, "pert_id")
    alone = replicates[replicates.obs["pert_id"] == "BRD-0"]
    np.testing.assert_array_equal(found["BRD-0"].X, alone.X)
    assert found.obs.loc["BRD-0", "nsample"] == 1
    assert np.isnan(found.obs.loc["BRD-0", ["cc_q75", "tas"]].astype(float)).all()
    wells = replicates[replicates.obs["pert_id"] == "BRD-5"].X
    mean_of_seven = wells[1:].mean(axis=0)
    assert (
        np.abs(found["BRD-5"].X - mean_of_seven).max()
        < 0.5
        < np.abs(wells.mean(axis=0) - mean_of_seven).max()
    )


def test_only_the_masked_genes_decide_the_weights(replicates):
    found = sg.pp.modz(replicates, "pert_id", mask_var="landmark")
    wells = replicates[replicates.obs["pert_id"] == "BRD-4"].X
    _, weights = cmappy_consensus(wells[:, :50])
    np.testing.assert_allclose(found["BRD-4"].X.ravel(), weights.to_numpy() @ wells, atol=1e-12)
    correlations = spearmanr(wells[:, :50], axis=1).statistic[np.triu_indices(5, 1)]
    assert found.obs.loc["BRD-4", "cc_q75"] == pytest.approx(np.quantile(correlations, 0.75))
    strength = (np.abs(found["BRD-4"].X[0, :50]) * np.sqrt(5) >= 2).sum()
    assert found.obs.loc["BRD-4", "ss_ngene"] == strength


def test_columns_that_are_constant_in_every_group_are_kept(replicates):
    found = sg.pp.modz(replicates, "pert_id")
    measures = ["nsample", "cc_q75", "ss_ngene", "distil_ss", "tas"]
    assert found.obs.columns.tolist() == ["pert_id", "cell_id", "dose", *measures]
    assert found.obs["nsample"].tolist() == SIZES
    assert np.isnan(found.obs.loc["BRD-2", "dose"])
    assert found.obs["cell_id"].cat.categories.tolist() == ["A375", "MCF7"]
    assert found.var.equals(replicates.var)


def test_several_columns_and_missing_labels(replicates, caplog):
    replicates.obs.loc[replicates.obs["pert_id"] == "BRD-7", "pert_id"] = None
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        found = sg.pp.modz(replicates, ["cell_id", "pert_id"])
    assert "2 observations are in no group" in caplog.text
    assert found.obs_names[:2].tolist() == ["A375:BRD-4", "A375:BRD-5"]
    assert found.n_obs == len(SIZES) - 1
    again = sg.pp.modz(replicates[::-1], ["cell_id", "pert_id"])
    np.testing.assert_allclose(again.X, found.X, atol=1e-12)


def test_labels_that_join_to_one_name_stay_two_groups():
    obs = pd.DataFrame({"a": ["x:y", "x"], "b": ["z", "y:z"]}, index=["1", "2"])
    found = sg.pp.modz(ad.AnnData(np.eye(2), obs), ["a", "b"])
    assert found.obs_names.is_unique
    assert found.n_obs == 2


@pytest.mark.parametrize("kind", ["csr", "dask", "backed", "layer", "float32"])
def test_any_kind_of_matrix_gives_the_same_consensus(replicates, kind, tmp_path, monkeypatch):
    expected = sg.pp.modz(replicates, "pert_id")
    monkeypatch.setattr(_replicates, "_BLOCK_VALUES", 500)  # groups come one or two at a time
    options = {}
    if kind == "csr":
        replicates.X = sparse.csr_matrix(replicates.X)
    elif kind == "dask":
        da = pytest.importorskip("dask.array")
        replicates.X = da.from_array(replicates.X, chunks=(7, 50))
    elif kind == "backed":
        replicates.write_h5ad(tmp_path / "x.h5ad")
        replicates = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    elif kind == "layer":
        replicates.layers["z"] = replicates.X.copy()
        replicates.X = None
        options = {"layer": "z"}
    else:
        replicates.X = replicates.X.astype(np.float32)
    found = sg.pp.modz(replicates, "pert_id", **options)
    assert found.X.dtype == (np.float32 if kind == "float32" else np.float64)
    np.testing.assert_allclose(found.X, expected.X, rtol=1e-5, atol=1e-6)


def test_the_result_survives_being_written(replicates, tmp_path):
    found = sg.pp.modz(replicates, ["cell_id", "pert_id"], mask_var="landmark")
    found.write_h5ad(tmp_path / "x.h5ad")
    again = ad.read_h5ad(tmp_path / "x.h5ad")
    assert again.uns["modz"]["groupby"].tolist() == ["cell_id", "pert_id"]
    assert again.uns["modz"]["params"]["mask_var"] == "landmark"
    np.testing.assert_array_equal(again.X, found.X)


def test_replicates_whose_genes_are_all_equal_count_least(replicates):
    group = np.flatnonzero(replicates.obs["pert_id"] == "BRD-4")
    replicates.X[group[0]] = 0
    copy = sg.pp.signature_quality(replicates, "pert_id", copy=True)
    weights = copy.obs["replicate_weight"].to_numpy()[group]
    assert weights[0] < 0.01
    assert np.isfinite(sg.pp.modz(replicates, "pert_id").X).all()


# -- input that cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groupby", "options", "error", "message"),
    [
        ("pert", {}, KeyError, "did you mean 'pert_id'"),
        ([], {}, ValueError, "names no column"),
        ("pert_id", {"metric": "kendall"}, ValueError, "metric='kendall'"),
        ("pert_id", {"min_weight": 0}, ValueError, "min_weight=0"),
        ("pert_id", {"mask_var": "lm"}, KeyError, "mask_var='lm'"),
        ("pert_id", {"layer": "z"}, KeyError, "layer='z'"),
    ],
)
def test_wrong_options_are_named(replicates, groupby, options, error, message):
    with pytest.raises(error, match=message):
        sg.pp.modz(replicates, groupby, **options)


def test_missing_values_and_missing_groups_are_refused(replicates):
    replicates.obs["none"] = None
    with pytest.raises(DataError, match="gives no group"):
        sg.pp.modz(replicates, "none")
    replicates.X[3, 3] = np.nan
    with pytest.raises(DataError, match="1 among"):
        sg.pp.modz(replicates, "pert_id")
