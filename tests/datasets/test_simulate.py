from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.datasets._simulate import simulate_lincs


def test_one_signature_per_row_in_the_projects_vocabulary():
    adata = simulate_lincs(class_sizes=[9, 5, 3], n_genes=12, n_vehicle=4, n_unlabelled=6)
    assert adata.shape == (27, 12)
    assert adata.X.dtype == np.float32
    columns = ["sig_id", "pert_id", "pert_iname", "pert_type", "cell_id", "dose", "time", "pcl"]
    assert adata.obs.columns.tolist() == columns
    assert adata.obs_names.is_unique
    assert adata.obs["pcl"].value_counts().tolist() == [9, 5, 3]


def test_vehicle_and_unlabelled_signatures_have_no_class_but_the_truth_knows():
    adata = simulate_lincs(class_sizes=[30, 30], n_genes=10, n_vehicle=4, n_unlabelled=6)
    told = adata.obs["pcl"].notna()
    vehicle = adata.obs["pert_type"] == "ctl_vehicle"
    assert (~told).sum() == 10
    assert vehicle.sum() == 4
    assert adata.obs.loc[vehicle, "dose"].isna().all()
    truth = pd.Series(adata.uns["truth"]["class"], index=adata.obs_names)
    assert (truth[told] == adata.obs["pcl"][told].astype(str)).all()
    assert (truth[vehicle] == "").all()
    assert truth[~told & ~vehicle].isin(["F01a", "F01b"]).all()
    known = set(adata.obs.loc[told, "pert_id"])
    assert known.isdisjoint(adata.obs.loc[~told, "pert_id"])


def test_a_perturbagen_belongs_to_one_class():
    adata = simulate_lincs(n_classes=6, n_genes=10)
    assert adata.obs.groupby("pert_id", observed=True)["pcl"].nunique().eq(1).all()


def test_class_means_are_the_prototypes_given():
    prototypes = np.random.default_rng(0).normal(size=(3, 40)) * 0.8
    adata = simulate_lincs(
        prototypes=prototypes, class_sizes=[3000] * 3, perturbagen_effect=0, cell_line_effect=0
    )
    x = pd.DataFrame(adata.X, index=adata.obs_names)
    mean = x.groupby(adata.obs["pcl"], observed=True).mean().to_numpy()
    for given, found in zip(prototypes, mean, strict=True):
        assert np.corrcoef(given, found)[0, 1] > 0.98
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(given), rel=0.15)
    np.testing.assert_allclose(adata.uns["truth"]["correlation"], np.corrcoef(prototypes))


def test_families_are_related_as_much_as_asked():
    def within(relatedness):
        adata = simulate_lincs(n_classes=80, class_sizes=[1] * 80, relatedness=relatedness)
        family = np.array([name[:3] for name in adata.uns["truth"]["classes"]])
        same = np.triu(family[:, None] == family, k=1)
        return adata.uns["truth"]["correlation"][same].mean()

    assert within(0.0) == pytest.approx(0, abs=0.15)
    assert within(0.6) == pytest.approx(0.6, abs=0.15)
    assert within(0.95) > 0.85


def test_response_rises_with_dose_and_vanishes_without_strength():
    adata = simulate_lincs(n_classes=4, class_sizes=[400] * 4, n_genes=200)
    size = pd.Series(np.square(adata.X).mean(axis=1), index=adata.obs_names)
    by_dose = size.groupby(adata.obs["dose"]).mean()
    assert by_dose.iloc[-1] > 1.2 * by_dose.iloc[0]
    quiet = simulate_lincs(n_classes=2, class_sizes=[300, 300], strength=0, n_genes=50)
    apart = np.diff([quiet.X[quiet.obs["pcl"] == k].mean(axis=0) for k in ("F01a", "F01b")], axis=0)
    assert np.abs(apart).mean() < 0.1


def test_values_end_at_ten_as_in_geo():
    assert np.abs(simulate_lincs(n_classes=3, n_genes=20, strength=50).X).max() == 10


def test_the_seed_decides():
    one, same, other = (simulate_lincs(n_classes=2, n_genes=5, random_state=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.X, same.X)
    assert not np.array_equal(one.X, other.X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prototypes": np.zeros(5)}, "classes x genes, not 1-d"),
        ({"prototypes": np.zeros((2, 5)), "class_sizes": [3]}, "class_sizes has 1 entries for 2"),
        ({"n_classes": 2, "classes": ["a", "a"]}, "classes has duplicates"),
        ({"n_classes": 2, "classes": ["a"]}, "classes has 1 entries, 2 are needed"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_lincs(**options)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_the_simulation_survives_writing(kind, tmp_path):
    import anndata as ad

    adata = simulate_lincs(n_classes=3, class_sizes=[4, 3, 2], n_genes=6, n_vehicle=2)
    path = tmp_path / f"x.{kind}"
    getattr(adata, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    np.testing.assert_array_equal(back.uns["truth"]["prototypes"], adata.uns["truth"]["prototypes"])
    assert back.obs["pcl"].isna().sum() == 2


def test_it_is_what_datasets_offers():
    assert sg.datasets.simulate_lincs is simulate_lincs
