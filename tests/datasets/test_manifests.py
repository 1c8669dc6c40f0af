"""The manifests say what is known, mark what is not, and agree with the files at hand."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest

import sigilla as sg
from sigilla.datasets import _load
from sigilla.datasets._fetch import digest
from sigilla.datasets._manifests import DataFile, manifests, read_manifest
from sigilla.errors import DataError
from sigilla.settings import settings

ALL = manifests()
GEO = ("GSE70138", "GSE92742", "GSE106127")
MICROARRAY = {"brain", "breast", "colon", "leukemia", "lung1", "lung2", "lymphoma", "prostate"}
MICROARRAY |= {"srbct", "sucancer"}
SINGLE_CELL = {"camp1", "camp2", "darmanis", "deng", "goolam", "grun", "li", "patel"}


def test_the_data_sets_of_the_papers_are_there():
    lincs = {*GEO, "svqvae_lincs", "l1000_plate", "repurposing_hub"}
    assert lincs | MICROARRAY | SINGLE_CELL <= ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_a_manifest_is_complete(name):
    manifest = ALL[name]
    for field in ("title", "licence", "accession", "citation", "loader", "label"):
        assert getattr(manifest, field), field
    assert manifest.homepage.startswith("http")
    assert manifest.needed or manifest.converted
    roles = [file.role for file in manifest.needed]
    assert len(set(roles)) == len(roles)
    for file in manifest.files:
        assert file.url is None or file.url.startswith("https://")
        assert file.bytes is None or file.bytes > 0
        assert not PurePosixPath(file.mirror).is_absolute()
    loaders = {*_load._NAMED, *_load._MATRICES, "lincs_release", "converted"}
    assert manifest.loader in loaders


def test_files_have_places_of_their_own_in_a_mirror():
    places = [file.mirror for manifest in ALL.values() for file in manifest.files]
    assert len(set(places)) == len(places)


def test_each_file_is_named_after_its_data_set():
    folder = Path(__file__).parents[2] / "data_manifests"
    names = {path.stem: tomllib.loads(path.read_text())["name"] for path in folder.glob("*.toml")}
    assert all(stem == name for stem, name in names.items())
    assert names.keys() == ALL.keys()


def test_code_is_fetched_at_a_commit_and_with_a_checksum():
    for manifest in ALL.values():
        for file in manifest.files:
            if file.url and "githubusercontent" in file.url:
                assert len(file.url.split("/")[5]) == 40, file.url
                assert file.checksum
                assert file.bytes


@pytest.mark.parametrize("name", GEO)
def test_geo_entries_say_what_geo_says_and_no_more(name, mirror):
    entries = json.loads(mirror("geo/geo_files.json").read_text())
    known = {entry["name"]: entry for entry in entries if entry["series"] == name}
    assert {file.name for file in ALL[name].files} == known.keys()
    for file in ALL[name].files:
        entry = known[file.name]
        assert file.bytes == entry["bytes"]
        assert file.url == entry["url"]
        published = [f"{kind}:{entry[kind]}" for kind in ("sha512", "md5") if entry[kind]]
        assert file.checksum == (published[0] if published else None)


def test_checksums_are_those_of_the_files_at_hand(mirror):
    base = mirror("geo").parent
    checked = 0
    for manifest in ALL.values():
        for file in (*manifest.files, manifest.converted):
            if file is None or not (base / file.mirror).is_file():
                continue
            kinds = {c.partition(":")[0] for c in file.checksums}
            found = {digest(base / file.mirror, kind) for kind in kinds}
            assert found & set(file.checksums), file.name
            checked += 1
    assert checked >= 20


def test_a_checksum_that_is_none_is_refused():
    with pytest.raises(DataError, match="not algorithm:hex"):
        DataFile("a", None, None, "sha256:abc", "a")


def test_unknown_is_told_apart_from_empty(tmp_path):
    head = (Path(__file__).parents[2] / "data_manifests" / "breast.toml").read_text()
    (tmp_path / "b.toml").write_text(head)
    for file in read_manifest(tmp_path / "b.toml").files:
        assert (file.url, file.bytes, file.checksum) == (None, None, None)


def test_the_table_of_data_sets_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "mirror", None)
    monkeypatch.setattr(settings, "cache_dir", tmp_path)
    table = sg.datasets.available()
    assert list(table.index) == list(ALL)
    assert table.loc["leukemia", ["n_obs", "n_vars", "n_classes"]].tolist() == [72, 3571, 2]
    assert table.loc["GSE70138", "megabytes"] == pytest.approx(5367, abs=1)
    assert table.loc["GSE106127", "checksums"] == "unknown"
    assert pd.isna(table.loc["GSE106127", "megabytes"])
    assert set(table["at_hand"]) == {""}
    assert list(tmp_path.iterdir()) == []


def test_the_table_says_where_a_data_set_lies(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "mirror", str(mirror("pretrained").parent))
    monkeypatch.setattr(settings, "cache_dir", tmp_path)
    assert sg.datasets.available().loc["svqvae_lincs", "at_hand"] == "mirror"


def test_landmarks_are_those_of_gene_info_in_its_order(mirror):
    path = mirror("geo/GSE70138_Broad_LINCS_gene_info_2017-03-06.txt.gz")
    info = pd.read_csv(path, sep="\t", dtype=str)
    expected = info.loc[info["pr_is_lm"] == "1", ["pr_gene_id", "pr_gene_symbol"]]
    pd.testing.assert_frame_equal(sg.datasets.landmarks(), expected.reset_index(drop=True))


def test_there_are_978_landmarks_each_once():
    genes = sg.datasets.landmarks()
    assert len(genes) == 978
    assert genes["pr_gene_id"].is_unique
    assert genes["pr_gene_symbol"].is_unique
