"""Quality of replicates: known answers, and what the release says of its own signatures."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg


@pytest.fixture
def wells():
    """An active and an inactive compound in four wells each, one well alone, one unlabelled."""
    rng = np.random.default_rng(0)
    signal = np.zeros((10, 400))
    signal[:4, :60] = rng.choice([-4, 4], 60)
    x = signal + rng.normal(size=(10, 400))
    group = ["active"] * 4 + ["inactive"] * 4 + ["alone", None]
    return ad.AnnData(x, pd.DataFrame({"pert": group}, index=[f"w{i}" for i in range(10)]))


def test_an_active_compound_is_told_from_an_inactive_one(wells):
    sg.pp.signature_quality(wells, "pert")
    first = wells.obs.groupby("pert").first()
    assert first.loc["active", "cc_q75"] > 0.3 > abs(first.loc["inactive", "cc_q75"])
    # 60 moved genes of 400, and 4.6 % of the others by chance.
    assert first.loc["active", "ss_ngene"] == pytest.approx(60 + 340 * 0.0455, abs=12)
    assert first.loc["inactive", "ss_ngene"] == pytest.approx(400 * 0.0455, abs=12)
    assert first.loc["active", "tas"] > 3 * first.loc["inactive", "tas"]
    expected = np.sqrt(first["ss_ngene"] * first["cc_q75"].clip(lower=0) / 400)
    np.testing.assert_allclose(first["tas"], expected)


def test_every_replicate_has_its_groups_measures_and_its_own_weight(wells):
    sg.pp.signature_quality(wells, "pert")
    assert wells.obs["nsample"].tolist() == [4] * 8 + [1, 0]
    shares = wells.obs.groupby("pert")["replicate_weight"].sum()
    np.testing.assert_allclose(shares, 1, atol=2e-4)
    assert wells.obs.loc["w8", ["cc_q75", "tas"]].isna().all()
    assert wells.obs.loc["w9", ["cc_q75", "ss_ngene", "distil_ss", "tas"]].isna().all()
    consensus = sg.pp.modz(wells, "pert").obs
    for column in ["nsample", "cc_q75", "ss_ngene", "distil_ss", "tas"]:
        per_group = wells.obs.groupby("pert")[column].first()
        np.testing.assert_array_equal(per_group, consensus[column])


def test_copy_and_key_added(wells):
    before = wells.obs.copy()
    copy = sg.pp.signature_quality(wells, "pert", key_added="lm", copy=True)
    assert wells.obs.equals(before)
    assert {"lm_tas", "lm_nsample", "lm_replicate_weight"} <= set(copy.obs)
    assert "tas" not in copy.obs


def test_strength_of_the_2017_release_is_reproduced(mirror):
    """Each consensus alone is its own group: its strength does not depend on the replicates."""
    adata = ad.read_h5ad(mirror("lincs/l1000_modz_n272.h5ad"))
    published = adata.obs["distil_ss"].to_numpy(float)
    adata.obs["sig"] = adata.obs_names
    sg.pp.signature_quality(adata, "sig")
    np.testing.assert_allclose(adata.obs["distil_ss"], published, rtol=1e-5)
