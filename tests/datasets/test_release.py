"""A simulated release is read back by the reader of real ones, and is what was simulated."""

from __future__ import annotations

import gzip
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import FileError

SMALL = {"n_classes": 5, "class_sizes": [12, 10, 8, 6, 1], "n_unlabelled": 7, "n_vehicle": 5}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return sg.datasets.simulate_lincs_release(tmp_path_factory.mktemp("release"), **SMALL)


@pytest.fixture(scope="module")
def simulated():
    genes = sg.datasets.landmarks()["pr_gene_id"].tolist()
    return sg.datasets.simulate_lincs(var_names=genes, **SMALL)


def test_reading_gives_what_was_simulated(release, simulated):
    read = sg.io.read_lincs(**asdict(release))
    np.testing.assert_array_equal(read.X, simulated.X)
    assert list(read.obs_names) == list(simulated.obs_names)
    assert list(read.var_names) == list(simulated.var_names)
    for column in simulated.obs:
        left, right = read.obs[column], simulated.obs[column]
        pd.testing.assert_series_equal(
            left.astype(right.dtype), right, check_names=False, check_categorical=False
        )
    assert list(read.obs["pcl"].cat.categories) == list(simulated.obs["pcl"].cat.categories)
    assert read.uns["lincs"]["n_labelled"] == 37


def test_inferred_genes_are_linear_in_the_landmarks_and_lie_between_them(tmp_path):
    release = sg.datasets.simulate_lincs_release(tmp_path, n_classes=2, n_genes=20, n_inferred=8)
    whole = sg.io.read_lincs(**asdict(release), landmarks=False)
    flags = whole.var["is_landmark"].to_numpy()
    assert flags.sum() == 20
    assert not flags[:20].all()
    landmarks, inferred = whole.X[:, flags], whole.X[:, ~flags]
    assert len(landmarks) > 200, "more signatures than landmarks, or anything would be linear"
    _, residuals, rank, _ = np.linalg.lstsq(landmarks, inferred, rcond=None)
    assert rank == 20
    np.testing.assert_allclose(residuals, 0, atol=1e-6)


def test_the_tables_are_geo_s(release):
    assert release.gctx.name == "SIMULATED_Broad_LINCS_Level5_COMPZ_n49x1078.gctx"
    genes = pd.read_csv(release.gene_info, sep="\t")
    assert list(genes) == [
        *("pr_gene_id", "pr_gene_symbol", "pr_gene_title", "pr_is_lm", "pr_is_bing"),
    ]
    assert genes["pr_is_lm"].sum() == 978
    signatures = pd.read_csv(release.sig_info, sep="\t", dtype=str)
    vehicle = signatures["pert_type"] == "ctl_vehicle"
    assert (signatures.loc[vehicle, "pert_idose"] == "-666").all()
    assert signatures.loc[~vehicle, "pert_idose"].str.fullmatch(r"[0-9.]+ um").all()
    assert (signatures["pert_itime"] == "24 h").all()
    assert list(signatures["sig_id"]) != sorted(signatures["sig_id"]), "in another order"


def test_the_matrix_knows_ids_only(release):
    bare = sg.io.read_gctx(release.gctx)
    assert bare.obs.empty
    assert bare.var.empty


def test_the_same_seed_gives_the_same_bytes(release, tmp_path):
    again = sg.datasets.simulate_lincs_release(tmp_path, **SMALL)
    for key in ("sig_info", "gene_info", "pert_info", "classes"):
        assert asdict(again)[key].read_bytes() == asdict(release)[key].read_bytes()


def test_genes_of_one_s_own_are_kept(tmp_path):
    names = ["a", "b", "c"]
    release = sg.datasets.simulate_lincs_release(
        tmp_path, n_classes=2, var_names=names, n_inferred=0
    )
    read = sg.io.read_lincs(**asdict(release))
    assert list(read.var_names) == names


def test_an_earlier_release_is_replaced_and_nothing_else_is_left(tmp_path):
    for seed in (0, 1):
        release = sg.datasets.simulate_lincs_release(tmp_path, random_state=seed, **SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in asdict(release).values()
    }
    with gzip.open(release.sig_info, "rt") as stream:
        assert stream.readline().startswith("sig_id\tpert_id")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="out="):
        sg.datasets.simulate_lincs_release(tmp_path / "file" / "sub", **SMALL)


def test_bad_options_write_nothing(tmp_path):
    with pytest.raises(TypeError):
        sg.datasets.simulate_lincs_release(tmp_path / "new", n_clases=3)
    assert not (tmp_path / "new").exists()
