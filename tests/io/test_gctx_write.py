"""write_gctx: what it writes is read back the same, by sigilla and by cmapPy."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sigilla.errors import DataError, FileError
from sigilla.io import _cmappy, _gctx_write, read_gctx, write_gctx


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cell_id": pd.Categorical(["A375", "MCF7", None, "A375"]),
            "pert_iname": ["vorinostat", "10% DMSO", np.nan, "x y"],
            "dose": [0.04, np.nan, 10.0, -np.inf],
            "replicates": [1, 2, 3, 4],
            "is_gold": [True, False, True, True],
            "nullable": pd.array([1, None, 3, 4], dtype="Int64"),
        },
        index=[f"s{i}" for i in range(4)],
    )
    var = pd.DataFrame({"gene_symbol": list("ABCDE")}, index=[str(780 + i) for i in range(5)])
    return ad.AnnData(rng.normal(size=(4, 5)).astype("float32"), obs=obs, var=var)


def test_cmappy_reads_what_is_written(adata, tmp_path):
    path = tmp_path / "out.gctx"
    write_gctx(adata, path)
    theirs = _cmappy.parse(path)
    assert theirs.version == b"GCTX1.0"
    assert theirs.data_df.columns.tolist() == adata.obs_names.tolist()
    assert theirs.data_df.index.tolist() == adata.var_names.tolist()
    np.testing.assert_array_equal(theirs.data_df.to_numpy().T, adata.X)
    col = theirs.col_metadata_df
    assert col["cell_id"].isna().tolist() == [False, False, True, False]
    assert col["pert_iname"].isna().tolist() == [False, False, True, False]
    np.testing.assert_array_equal(col["dose"], adata.obs["dose"])
    assert col["is_gold"].tolist() == ["True", "False", "True", "True"]  # as from its own writer
    assert theirs.row_metadata_df["gene_symbol"].tolist() == list("ABCDE")


def test_it_reads_what_cmappy_writes(adata, tmp_path):
    write_gctx(adata, tmp_path / "ours.gctx")
    gctoo = _cmappy.parse(tmp_path / "ours.gctx")
    _cmappy.write_gctx(gctoo, tmp_path / "theirs.gctx")
    back = read_gctx(tmp_path / "theirs.gctx")
    np.testing.assert_array_equal(back.X, adata.X)
    assert back.obs["cell_id"].isna().tolist() == [False, False, True, False]


def test_metadata_comes_back_with_its_kinds(adata, tmp_path):
    write_gctx(adata, tmp_path / "out.gctx")
    obs = read_gctx(tmp_path / "out.gctx").obs
    assert obs["is_gold"].dtype == bool
    assert obs["replicates"].dtype.kind == "i"
    np.testing.assert_array_equal(obs["nullable"], [1, np.nan, 3, 4])
    np.testing.assert_array_equal(obs["dose"], adata.obs["dose"])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 9),
    st.sampled_from(["float32", "float64", "int32", "uint8", "bool"]),
    st.sampled_from(["dense", "csr", "csc", "dask"]),
    st.sampled_from([None, 1]),
    st.integers(0, 2**31),
)
def test_any_matrix_comes_back_the_same(tmp_path_factory, n, p, dtype, kind, compression, seed):
    values = np.random.default_rng(seed).normal(0, 9, (n, p)).astype(dtype)
    path = tmp_path_factory.mktemp("written") / "out.gctx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gctx_write, "BLOCK_BYTES", 64)
        write_gctx(ad.AnnData(_as_kind(values, kind)), path, compression=compression)
    np.testing.assert_array_equal(read_gctx(path, dtype=None).X, values)


def _as_kind(values, kind):
    if kind == "dask":
        import dask.array as da

        return da.from_array(values, chunks=(2, 2))
    return {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_array}[kind](values)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_column_comes_back(tmp_path_factory, texts):
    texts = [None if t is None else f"_{t}" for t in texts]  # "_" keeps numbers text
    path = tmp_path_factory.mktemp("written") / "out.gctx"
    adata = ad.AnnData(np.zeros((len(texts), 1), dtype="float32"))
    adata.obs["text"] = pd.Series(texts, index=adata.obs_names, dtype=object)
    write_gctx(adata, path)
    back = read_gctx(path).obs["text"]
    assert [None if pd.isna(value) else value for value in back] == texts


def test_a_layer_is_written_in_place_of_x(adata, tmp_path):
    adata.layers["double"] = adata.X * 2
    write_gctx(adata, tmp_path / "out.gctx", layer="double")
    np.testing.assert_array_equal(read_gctx(tmp_path / "out.gctx").X, adata.X * 2)


def test_a_file_on_disk_is_copied_by_blocks(adata, tmp_path):
    write_gctx(adata, tmp_path / "one.gctx")
    write_gctx(read_gctx(tmp_path / "one.gctx", backed=True), tmp_path / "two.gctx")
    np.testing.assert_array_equal(read_gctx(tmp_path / "two.gctx").X, adata.X)


def test_text_that_cmappy_cannot_read_is_warned_about(adata, tmp_path, caplog):
    adata.obs["pert_idose"] = "10 µM"
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        write_gctx(adata, tmp_path / "out.gctx")
    assert "'pert_idose' has characters outside ASCII" in caplog.text
    assert set(read_gctx(tmp_path / "out.gctx").obs["pert_idose"]) == {"10 µM"}


def test_an_unknown_layer_is_refused_before_anything_is_written(adata, tmp_path):
    with pytest.raises(DataError, match="layer='count' not found"):
        write_gctx(adata, tmp_path / "out.gctx", layer="count")
    assert not list(tmp_path.iterdir())


def test_repeated_names_are_refused(adata, tmp_path):
    adata.obs_names = ["s0", "s0", "s1", "s2"]
    with pytest.raises(DataError, match="obs_names_make_unique"):
        write_gctx(adata, tmp_path / "out.gctx")


@pytest.mark.parametrize("column", ["id", "a/b"])
def test_column_names_the_format_cannot_hold_are_refused(adata, tmp_path, column):
    adata.obs[column] = 1
    with pytest.raises(DataError, match=repr(column)):
        write_gctx(adata, tmp_path / "out.gctx")


@pytest.mark.parametrize("place", ["no/such/folder/out.gctx", "file.txt/out.gctx"])
def test_a_path_that_cannot_be_written_is_refused(adata, tmp_path, place):
    (tmp_path / "file.txt").write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        write_gctx(adata, tmp_path / place)


def test_a_matrix_larger_than_the_disk_is_refused_and_the_old_file_kept(
    adata, tmp_path, monkeypatch
):
    path = tmp_path / "out.gctx"
    write_gctx(adata, path)
    before = path.read_bytes()
    usage = _gctx_write.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(_gctx_write.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FileError, match=r"out\.gctx.*MB are needed"):
        write_gctx(adata[::-1], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.gctx"]


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="RLIMIT_FSIZE, which stands in for a full disk, does not exist on Windows",
)
@pytest.mark.parametrize("compression", [None, 1])
def test_a_disk_that_fills_while_writing_leaves_the_old_file(adata, tmp_path, compression):
    path = tmp_path / "out.gctx"
    write_gctx(adata, path)
    before = path.read_bytes()
    script = f"""
        import resource, signal
        import anndata as ad, numpy as np
        from sigilla.errors import FileError
        from sigilla.io import write_gctx
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        values = np.random.default_rng(0).normal(size=(1000, 1000)).astype("float32")
        try:
            write_gctx(ad.AnnData(values), {str(path)!r}, compression={compression})
        except FileError as error:
            print("refused:", error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "refused: path=" in done.stdout
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.gctx"]
