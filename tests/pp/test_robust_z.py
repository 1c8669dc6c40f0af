"""Robust z-scores: cmapPy's, per plate, to all wells or to the vehicle."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sigilla as sg
from sigilla.errors import DataError


@pytest.fixture
def plates():
    """Two plates of 20 wells at different levels, every fifth well vehicle."""
    rng = np.random.default_rng(0)
    x = rng.normal(8, 1, (40, 30))
    x[20:] += 3
    x[:, 0] = 5  # a gene that does not vary
    obs = pd.DataFrame(
        {
            "plate": np.repeat(["P1", "P2"], 20),
            "pert_type": np.where(np.arange(40) % 5, "trt_cp", "ctl_vehicle"),
        },
        index=[f"w{i}" for i in range(40)],
    )
    return ad.AnnData(x, obs)


def cmappy_scores(x, control=None):
    robust_zscore = pytest.importorskip("cmapPy.math.robust_zscore").robust_zscore
    given = None if control is None else pd.DataFrame(control.T)
    return robust_zscore(pd.DataFrame(x.T), given).to_numpy().T


@pytest.mark.parametrize("reference", [None, "ctl_vehicle"])
def test_scores_equal_cmappys_on_each_plate(plates, reference):
    copy = sg.pp.robust_z(plates, groupby="plate", reference=reference, clip=None, copy=True)
    for plate in ["P1", "P2"]:
        wells = plates[plates.obs["plate"] == plate]
        control = None if reference is None else wells[wells.obs["pert_type"] == reference].X
        found = copy[wells.obs_names].X
        # cmapPy rounds to four decimals.
        np.testing.assert_allclose(found, cmappy_scores(wells.X, control), atol=5.1e-5)


def test_the_real_plates_scores_are_those_of_its_level_3_file(mirror):
    level3 = sg.io.read_gct(mirror("lincs/test_l1000_LJP005_A375_n377x978.gct"))
    published = sg.io.read_gctx(mirror("lincs/test_l1000_highprecision_n377x978.gctx"))
    published = published[level3.obs_names, level3.var_names]
    sg.pp.robust_z(level3, clip=None)
    # Every score of the file is shifted by one number. Apart from it they are equal, those of the
    # four genes whose MAD is below the floor too.
    shift = np.median(published.X)
    np.testing.assert_allclose(level3.X, published.X - shift, atol=2e-4)
    assert np.corrcoef(level3.X.ravel(), published.X.ravel())[0, 1] > 0.999999


def test_half_of_the_scores_lie_within_two_thirds_of_a_standard_deviation(plates):
    sg.pp.robust_z(plates, groupby="plate")
    assert np.median(np.abs(plates.X[:, 1:])) == pytest.approx(0.6745, abs=0.03)
    assert (plates.X[:, 0] == 0).all()


def test_the_floor_of_the_mad_and_the_clip_bound_the_scores(plates):
    plates.X[3, 0] = 6  # 1 above a median of no spread: 1 / (1.4826 x 0.1)
    copy = sg.pp.robust_z(plates, clip=None, copy=True)
    assert copy.X[3, 0] == pytest.approx(1 / 0.14826)
    sg.pp.robust_z(plates, min_mad=1e-6)
    assert plates.X[3, 0] == 10


def test_where_the_scores_go(plates):
    raw = plates.X.copy()
    plates.layers["raw"] = raw.copy()
    sg.pp.robust_z(plates, layer="raw", key_added="z")
    np.testing.assert_array_equal(plates.X, raw)
    np.testing.assert_array_equal(plates.layers["raw"], raw)
    sg.pp.robust_z(plates, layer="raw")
    np.testing.assert_array_equal(plates.layers["raw"], plates.layers["z"])
    sg.pp.robust_z(plates)
    np.testing.assert_array_equal(plates.X, plates.layers["z"])


def test_reference_may_be_a_mask_or_a_boolean_column(plates):
    vehicle = (plates.obs["pert_type"] == "ctl_vehicle").to_numpy()
    plates.obs["is_vehicle"] = vehicle
    expected = sg.pp.robust_z(plates, reference="ctl_vehicle", copy=True).X
    for reference in [vehicle, "is_vehicle"]:
        found = sg.pp.robust_z(plates, reference=reference, copy=True).X
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["csr", "dask", "float32", "int"])
def test_any_kind_of_matrix_gives_the_same_scores(plates, kind):
    if kind == "int":
        plates.X = np.rint(plates.X * 10)
    expected = sg.pp.robust_z(plates, groupby="plate", copy=True).X
    if kind == "csr":
        plates.X = sparse.csr_matrix(plates.X)
    elif kind == "dask":
        plates.X = pytest.importorskip("dask.array").from_array(plates.X, chunks=(6, 10))
    else:
        plates.X = plates.X.astype(np.int64 if kind == "int" else np.float32)
    sg.pp.robust_z(plates, groupby="plate")
    assert plates.X.dtype == (np.float32 if kind in {"int", "float32"} else np.float64)
    np.testing.assert_allclose(plates.X, expected, atol=1e-4)


def test_a_well_of_no_plate_has_no_score(plates):
    plates.obs.loc["w3", "plate"] = None
    sg.pp.robust_z(plates, groupby="plate")
    assert np.isnan(plates.X).all(axis=1).nonzero()[0].tolist() == [3]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"groupby": "plates"}, KeyError, "did you mean 'plate'"),
        ({"reference": "ctl_vehicles"}, KeyError, "did you mean 'ctl_vehicle'"),
        ({"reference": "x", "reference_key": "type"}, KeyError, "reference_key='type'"),
        ({"reference": np.ones(3, dtype=bool)}, ValueError, "40 booleans"),
        ({"reference": np.arange(40) < 5, "groupby": "plate"}, DataError, "those of 'w20'"),
        ({"min_mad": 0}, ValueError, "min_mad=0"),
        ({"clip": -1}, ValueError, "clip=-1"),
        ({"layer": "x"}, KeyError, "layer='x'"),
    ],
)
def test_wrong_options_are_named(plates, options, error, message):
    with pytest.raises(error, match=message):
        sg.pp.robust_z(plates, **options)


def test_a_backed_matrix_is_not_overwritten(plates, tmp_path):
    plates.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(ValueError, match="to_memory"):
        sg.pp.robust_z(ad.read_h5ad(tmp_path / "x.h5ad", backed="r"))
