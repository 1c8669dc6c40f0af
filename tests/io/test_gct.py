"""GCT text: equal to cmapPy, nothing lost on the way out and back."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sigilla.errors import DataError, FileError
from sigilla.io import _cmappy, read_gct, write_gct

GCT_1_3 = """#1.3
2\t3\t1\t2
id\tpr_gene_symbol\ts1\ts2\ts3
cell_id\t-666\tA375\t-666\tMCF7
pert_dose\t-666\t0.04\t10\t-666
780\tDDR1\t1.5\t-2.25\tNaN
7849\tPAX8\t0\t1e-05\t3
"""
GCT_1_2 = "#1.2\n2\t2\nName\tDescription\ts1\ts2\n780\tDDR1\t1.5\t-2\n7849\tNA\t0\t3\n"


def assert_equal_to_cmappy(path):
    ours, theirs = read_gct(path), _cmappy.parse(path)
    assert ours.X.tobytes() == np.ascontiguousarray(theirs.data_df.to_numpy().T).tobytes()
    for mine, his in ((ours.obs, theirs.col_metadata_df), (ours.var, theirs.row_metadata_df)):
        assert mine.index.tolist() == his.index.tolist()
        assert mine.columns.tolist() == his.columns.tolist()
        for name in mine:
            assert mine[name].isna().tolist() == his[name].isna().tolist()
            assert mine[name].dropna().tolist() == his[name].dropna().tolist()


@pytest.mark.parametrize("text", [GCT_1_3, GCT_1_2])
def test_both_versions_equal_cmappy(tmp_path, text):
    path = tmp_path / "small.gct"
    path.write_text(text)
    assert_equal_to_cmappy(path)


def test_the_real_plate_equals_cmappy(mirror):
    assert_equal_to_cmappy(mirror("lincs/test_l1000_LJP005_A375_n377x978.gct"))


def test_ids_are_picked_in_the_order_asked(tmp_path):
    path = tmp_path / "small.gct"
    path.write_text(GCT_1_3)
    adata = read_gct(path, rid=["7849", "780"], cid=["s2", "s1"])
    np.testing.assert_array_equal(adata.X, np.array([[1e-5, -2.25], [0, 1.5]], dtype="float32"))
    assert adata.obs["pert_dose"].tolist() == [10.0, 0.04]


@settings(max_examples=40, deadline=None)
@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    ),
    st.sampled_from(["out.gct", "out.gct.gz"]),
)
def test_every_float_survives_the_text(tmp_path_factory, values, name):
    values = np.where(values == -666, 0, values)  # the format's own mark of a missing value
    path = tmp_path_factory.mktemp("gct") / name
    write_gct(ad.AnnData(values), path)
    np.testing.assert_array_equal(read_gct(path).X, values)


def test_cmappy_reads_what_is_written(tmp_path):
    obs = pd.DataFrame(
        {"cell_id": pd.Categorical(["A375", None]), "dose": [np.nan, 0.04], "n": [1, 2]},
        index=["s1", "s2"],
    )
    var = pd.DataFrame({"symbol": ['quoted "x"', "two words"]}, index=["780", "7849"])
    write_gct(ad.AnnData(np.eye(2, dtype="float32"), obs=obs, var=var), tmp_path / "out.gct")
    assert_equal_to_cmappy(tmp_path / "out.gct")
    back = read_gct(tmp_path / "out.gct")
    assert back.obs["cell_id"].isna().tolist() == [False, True]
    assert back.var["symbol"].tolist() == ['quoted "x"', "two words"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\ts1\n", "it starts 'id"),
        (GCT_1_3.rsplit("\n", 2)[0], "promises 2 rows of 5 fields, found 1"),
        (GCT_1_3.replace("\tMCF7", ""), "promises 5 fields in 3 header lines"),
        (GCT_1_3.replace("-2.25", "high"), "could not convert string to float: 'high'"),
    ],
)
def test_a_damaged_file_is_said_to_be_so(tmp_path, text, message):
    path = tmp_path / "bad.gct"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        read_gct(path)


def test_repeated_ids_are_named(tmp_path):
    path = tmp_path / "bad.gct"
    path.write_text(GCT_1_3.replace("s3", "s1"))
    with pytest.raises(DataError, match="more than once: 's1'"):
        read_gct(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_gct(tmp_path / "none.gct")
    with pytest.raises(FileError, match="cannot be written"):
        write_gct(ad.AnnData(np.ones((1, 1))), tmp_path / "no" / "out.gct")


def test_hdf5_is_said_to_be_gctx(tmp_path):
    path = tmp_path / "really.gct"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(FileError, match=r"is HDF5, as GCTX is: read it with sg\.io\.read_gctx"):
        read_gct(path)
