"""read_lincs: one vocabulary whatever the release calls its columns."""

from __future__ import annotations

import gzip
import logging
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sigilla.errors import DataError
from sigilla.io import read_lincs, write_gctx
from sigilla.io._vocabulary import _MICROMOLAR, OBS, quantity

GENES = [str(100 + i) for i in range(12)]
LANDMARKS = [1, 3, 4, 8]


@pytest.fixture(autouse=True)
def four_landmarks(monkeypatch):
    for module in ("_lincs", "_joins"):
        monkeypatch.setattr(f"sigilla.io.{module}.LANDMARK_COUNT", len(LANDMARKS))


@pytest.fixture
def matrix(tmp_path):
    """Five signatures x twelve genes; the value tells row and column."""
    values = np.arange(5)[:, None] * 100 + np.arange(12)[None]
    adata = ad.AnnData(
        values.astype("float32"),
        obs=pd.DataFrame(index=[f"sig{i}" for i in range(5)]),
        var=pd.DataFrame(index=GENES),
    )
    write_gctx(adata, tmp_path / "level5.gctx")
    return tmp_path / "level5.gctx"


GEO = {
    "sig_info": pd.DataFrame(
        {
            "sig_id": ["sig3", "sig0", "sig1", "sig2", "sig4", "elsewhere"],
            "pert_id": ["BRD-K1", "BRD-K1", "BRD-K22222222", "DMSO", "BRD-K4", "BRD-K9"],
            "pert_iname": ["alpha", "alpha", "beta", "DMSO", "delta", "omega"],
            "pert_type": ["trt_cp", "trt_cp", "trt_cp", "ctl_vehicle", "trt_cp", "trt_cp"],
            "cell_id": ["MCF7", "A375", "A375", "A375", "MCF7", "PC3"],
            "pert_idose": ["10 µM", "40 nM", "1.11 um", "-666", "2 ng/mL", "1 uM"],
            "pert_itime": ["24 h", "6 h", "24 h", "24 h", "3 d", "24 h"],
        }
    ),
    "gene_info": pd.DataFrame(
        {
            "pr_gene_id": GENES[::-1],
            "pr_gene_symbol": [f"G{g}" for g in GENES[::-1]],
            "pr_gene_title": [f"gene {g}" for g in GENES[::-1]],
            "pr_is_lm": [int(11 - i in LANDMARKS) for i in range(12)],
        }
    ),
    "pert_info": pd.DataFrame(
        {
            "pert_id": ["BRD-K1", "BRD-K22222222", "BRD-K22222222"],
            "moa": ["MEK inhibitor", "HDAC inhibitor", "FLT3 inhibitor"],
            "target": ["MAP2K1", "HDAC1", "-666"],
        }
    ),
    "cell_info": pd.DataFrame({"cell_id": ["A375", "MCF7"], "primary_site": ["skin", "breast"]}),
}
CLUE_NAMES = {
    "pert_iname": "cmap_name",
    "cell_id": "cell_iname",
    "pr_gene_id": "gene_id",
    "pr_gene_symbol": "gene_symbol",
    "pr_gene_title": "gene_title",
}


def as_clue(tables):
    """The same tables as CLUE 2020 names and writes them."""
    clue = {name: table.rename(columns=CLUE_NAMES) for name, table in tables.items()}
    gene = clue["gene_info"]
    gene["feature_space"] = np.where(gene.pop("pr_is_lm") == 1, "landmark", "inferred")
    sig = clue["sig_info"]
    quantities = sig["pert_idose"].str.extract(r"(\S+) (\S+)")
    sig["pert_dose"], sig["pert_dose_unit"] = quantities[0].fillna("-666"), quantities[1]
    sig["pert_time"] = [24, 6, 24, 24, 72, 24]
    sig["pert_time_unit"] = "h"
    clue["sig_info"] = sig.drop(columns=["pert_idose", "pert_itime"])
    return clue


def as_files(tables, folder, kind):
    paths = {}
    for name, table in tables.items():
        path = folder / f"{name}.{kind}"
        text = table.to_csv(sep="," if "csv" in kind else "\t", index=False, na_rep="-666")
        opener = gzip.open if kind.endswith(".gz") else open
        with opener(path, "wt", encoding="latin-1" if kind == "txt" else "utf-8") as file:
            file.write(text)
        paths[name] = path
    return paths


@pytest.mark.parametrize("release", ["geo", "clue"])
@pytest.mark.parametrize("kind", ["frames", "txt", "tsv", "csv", "txt.gz", "csv.gz"])
def test_every_release_comes_out_in_one_vocabulary(matrix, tmp_path, release, kind):
    tables = GEO if release == "geo" else as_clue(GEO)
    given = tables if kind == "frames" else as_files(tables, tmp_path, kind)
    adata = read_lincs(matrix, **given, classes={"BRD-K1": "CP_MEK", "Beta": "CP_HDAC"})
    assert adata.obs.columns.tolist()[: len(OBS)] == list(OBS)
    obs = adata.obs.astype({name: object for name in OBS if name not in {"dose", "time"}})
    assert obs["sig_id"].tolist() == obs.index.tolist() == [f"sig{i}" for i in range(5)]
    assert obs["pert_iname"].tolist() == ["alpha", "beta", "DMSO", "alpha", "delta"]
    assert obs["cell_id"].tolist() == ["A375", "A375", "A375", "MCF7", "MCF7"]
    np.testing.assert_allclose(obs["dose"], [0.04, 1.11, np.nan, 10, np.nan])
    np.testing.assert_allclose(obs["time"], [6, 24, 24, 24, 72])
    assert obs["pcl"].fillna("").tolist() == ["CP_MEK", "CP_HDAC", "", "CP_MEK", ""]
    two = "HDAC inhibitor|FLT3 inhibitor"
    assert obs["moa"].fillna("").tolist() == ["MEK inhibitor", two, "", "MEK inhibitor", ""]
    assert obs["target"].fillna("").tolist() == ["MAP2K1", "HDAC1", "", "MAP2K1", ""]
    assert obs["primary_site"].tolist() == ["skin"] * 3 + ["breast"] * 2
    assert adata.var_names.tolist() == [GENES[i] for i in LANDMARKS]
    assert adata.var["gene_symbol"].tolist() == [f"G{g}" for g in adata.var_names]
    assert adata.var["is_landmark"].all()
    np.testing.assert_array_equal(adata.X, np.arange(5)[:, None] * 100 + LANDMARKS)


def test_what_did_not_match_is_logged_and_kept(matrix, caplog):
    sig_info = GEO["sig_info"].iloc[1:]  # without sig3
    with caplog.at_level(logging.INFO, logger="sigilla"):
        adata = read_lincs(
            matrix,
            sig_info=sig_info,
            classes={"alpha": ["CP_MEK", "CP_RAF"]},
            landmarks=False,
            exclude_perts=["DMSO", "nosuch"],
        )
    report = adata.uns["lincs"]
    assert report["n_signatures_without_info"] == 1
    assert report["signatures_without_info"].tolist() == ["sig3"]
    assert report["n_sig_info_not_in_file"] == 1
    assert report["perts_with_several_classes"].tolist() == ["alpha"]
    assert report["exclude_perts_unknown"].tolist() == ["nosuch"]
    assert report["n_excluded"] == 1
    assert report["n_labelled"] == 1
    assert adata.obs["pcl_all"].iloc[0] == "CP_MEK|CP_RAF"
    assert "1 signatures are not in sig_info: 'sig3'" in caplog.text
    assert "exclude_perts are not there: 'nosuch'" in caplog.text


def test_only_the_wanted_signatures_are_kept(matrix):
    adata = read_lincs(matrix, **GEO, cell_lines=["A375"], exclude_perts="DMSO")
    assert adata.obs_names.tolist() == ["sig0", "sig1"]
    assert adata.obs["cell_id"].cat.categories.tolist() == ["A375"]
    np.testing.assert_array_equal(adata.X[:, 0], [1, 101])


@pytest.mark.parametrize("kind", ["table", "mechanisms", "gmt", "two sources"])
def test_classes_come_from_any_kind_of_source(matrix, tmp_path, kind):
    if kind == "table":
        source = tmp_path / "pcl.csv"
        source.write_text("pert_id;PCL\nBRD-K1;CP_A\nBRD-K22222222-001-01-1;CP_B\n")
    elif kind == "mechanisms":
        source = pd.DataFrame({"pert_iname": ["ALPHA", "beta"], "MOA": ["CP_A|CP_C", "CP_B"]})
    elif kind == "gmt":
        source = tmp_path / "pcl.gmt"
        source.write_text("CP_A\tx\tBRD-K1\nCP_B\tx\tbeta\n")
    else:
        source = [{"alpha": "CP_A"}, {"alpha": "CP_X", "beta": "CP_B"}]
    adata = read_lincs(matrix, sig_info=GEO["sig_info"], classes=source, landmarks=False)
    assert adata.obs["pcl"].astype(object).fillna("").tolist() == ["CP_A", "CP_B", "", "CP_A", ""]
    assert adata.obs["pcl"].cat.categories.tolist() == ["CP_A", "CP_B"]
    if kind == "mechanisms":
        assert adata.obs["moa"].iloc[0] == "CP_A|CP_C"


def test_metadata_inside_the_file_is_enough(tmp_path):
    obs = pd.DataFrame(
        {"pert_iname": ["a", "b"], "cell_id": "PC3", "pert_dose": [1.0, np.nan], "pert_time": 24}
    )
    obs.index = ["s1", "s2"]
    var = pd.DataFrame({"pr_gene_id": [5, 6], "pr_is_lmark": [0, 1]}, index=["1_at", "2_at"])
    write_gctx(ad.AnnData(np.ones((2, 2), "float32"), obs=obs, var=var), tmp_path / "own.gctx")
    adata = read_lincs(tmp_path / "own.gctx")
    assert adata.var_names.tolist() == ["2_at"]
    assert adata.var["gene_id"].tolist() == ["6"]
    np.testing.assert_array_equal(adata.obs["dose"], [1, np.nan])
    joined = read_lincs(  # the file's gene_id column, not its ids, is what the table shares
        tmp_path / "own.gctx",
        gene_info=pd.DataFrame({"gene_id": [6, 5], "gene_symbol": list("ab")}),
    )
    assert joined.var["gene_symbol"].tolist() == ["a"]


def test_a_list_of_landmarks_marks_them(matrix):
    table = pd.DataFrame({"pr_gene_id": [GENES[i] for i in LANDMARKS], "pr_gene_symbol": "x"})
    assert read_lincs(matrix, gene_info=table).n_vars == len(LANDMARKS)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_the_result_survives_on_disk(matrix, tmp_path, kind):
    tables = {**GEO, "cell_info": GEO["cell_info"].assign(modified=[True, None], empty=np.nan)}
    adata = read_lincs(matrix, **tables, classes={"alpha": "mTOR/PI3K inhibitor"})
    target = tmp_path / f"kept.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # anndata on the version of zarr
        (adata.write_h5ad if kind == "h5ad" else adata.write_zarr)(target)
        kept = (ad.read_h5ad if kind == "h5ad" else ad.read_zarr)(target)
    pd.testing.assert_frame_equal(kept.obs[list(OBS)], adata.obs[list(OBS)], check_dtype=False)
    assert kept.uns["lincs"]["n_labelled"] == 2


def test_backed_reads_the_same(matrix):
    lazy = read_lincs(matrix, **GEO, cell_lines="A375", backed=True)
    np.testing.assert_array_equal(lazy.X.compute(), read_lincs(matrix, **GEO, cell_lines="A375").X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "landmarks=True, but nothing says which of the 12 genes"),
        ({"sig_info": GEO["sig_info"].assign(sig_id="x")}, "sig_info shares no signature id"),
        ({"gene_info": GEO["gene_info"].assign(pr_gene_id="x")}, "gene_info shares no gene id"),
        ({"pert_info": GEO["pert_info"]}, "pert_info cannot be joined.*Pass sig_info"),
        ({**GEO, "cell_lines": "A735"}, "cell_lines='A735' not found; did you mean 'A375'"),
        ({**GEO, "exclude_perts": ["alpha", "beta", "DMSO", "delta"]}, "no signature is left"),
        ({**GEO, "classes": pd.DataFrame({"a": ["x"]})}, "classes has the columns 'a'"),
        (
            {"sig_info": pd.concat([GEO["sig_info"]] * 2)},
            "sig_info describes 'sig3', .* more than once",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_with_the_reason(matrix, options, message):
    with pytest.raises(DataError, match=message):
        read_lincs(matrix, **options)


@pytest.mark.parametrize(
    ("text", "micromolar"),
    [
        ("10 um", 10),
        ("10 µM", 10),
        ("10 μM", 10),
        ("10Âµm", 10),
        ("0.04 uM", 0.04),
        ("500 nM", 0.5),
        ("1 mM", 1000),
        ("3.33", 3.33),
        ("1e-2 um", 0.01),
        ("-666", np.nan),
        ("0.1 %", np.nan),
        ("100 ng/ml", np.nan),
        ("1.2.3 um", np.nan),
        ("nan", np.nan),
    ],
)
def test_doses_are_micromolar(text, micromolar):
    np.testing.assert_allclose(quantity(text, _MICROMOLAR), micromolar)


def test_the_real_plate_gets_its_mechanisms(mirror, monkeypatch):
    monkeypatch.setattr("sigilla.io._lincs.LANDMARK_COUNT", 978)
    adata = read_lincs(
        mirror("lincs/test_l1000_highprecision_n377x978.gctx"),
        classes=[
            mirror("tables/lincs_pert_moa_signatureSearch.tsv"),
            mirror("tables/repurposing_hub_moa.tsv"),
        ],
        exclude_perts="DMSO",
    )
    known = ad.read_h5ad(mirror("lincs/l1000_ljp005_a375_zs.h5ad")).obs
    known = known[known["pert_id"] != "DMSO"]
    assert adata.obs["pcl"].notna().sum() == 309
    assert adata.obs["pcl"].nunique() == 36
    assert (known["label"] != "unknown").sum() == 309
    assert adata.obs["dose"].notna().all()


def test_the_real_matrix_without_metadata_is_joined(mirror, monkeypatch):
    for module in ("_lincs", "_joins"):
        monkeypatch.setattr(f"sigilla.io.{module}.LANDMARK_COUNT", 978)
    adata = read_lincs(
        mirror("lincs/slinky_demo_n131x12328.gctx"),
        sig_info=mirror("lincs/slinky_demo_inst_info.txt"),
        gene_info=mirror("geo/GSE70138_Broad_LINCS_gene_info_2017-03-06.txt.gz"),
    )
    assert adata.shape == (131, 978)
    first = adata.obs.iloc[0]
    assert (first["pert_iname"], first["cell_id"]) == ("amoxicillin", "MCF7")
    assert (first["dose"], first["time"]) == (10.0, 24.0)
