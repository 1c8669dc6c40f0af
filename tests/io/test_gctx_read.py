"""read_gctx: every layout, any ids in any order, equal to cmapPy where cmapPy can read."""

from __future__ import annotations

import pickle
import warnings
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigilla.errors import DataError
from sigilla.io import _chunks, _cmappy, _ids, _mapped, _matrix, _whole_rows, disk_matrix, read_gctx
from sigilla.io._tasks import workers

from .conftest import FILTERS, Layout, write_layout

REAL = [
    "lincs/test_l1000_highprecision_n377x978.gctx",
    "lincs/CORE_A_level4_ZSPCINF_n40x12328.gctx",
    "lincs/signatureSearch_test_sample_n2x12328.gctx",
]


@st.composite
def layouts(draw):
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 30)))
    chunks = tuple(draw(st.integers(1, size)) for size in shape)
    return Layout(
        shape=shape,
        dtype=draw(st.sampled_from(["<f4", "<f8", ">f4", "<i2", "<i4", "<i8", "<u1"])),
        chunks=draw(st.sampled_from([None, chunks])),
        filters=draw(st.sampled_from(sorted(FILTERS))),
        ids=draw(st.sampled_from(["fixed", "variable", "integer"])),
        metadata=draw(st.booleans()),
        version=draw(st.sampled_from(["none", "text", "array"])),
    )


def subsets(size):
    return st.one_of(
        st.none(), st.lists(st.integers(0, size - 1), unique=True, max_size=size).map(np.array)
    ).map(lambda found: None if found is None else found.astype(int))


def pick(names, index):
    return None if index is None else list(names[index])


def expected(values, rows, cols):
    values = values if rows is None else values[rows]
    return values if cols is None else values[:, cols]


@pytest.fixture(params=["read", "read late", "mapped", "mapped late", "hdf5"])
def reading(request, monkeypatch):
    """Each way to the bytes, in tiles so small that tiny files are cut into many."""
    for module in (_matrix, _mapped):
        monkeypatch.setattr(module, "TILE_BYTES", 256)
    monkeypatch.setattr(_mapped, "WINDOWS_BYTES", 700 * workers())
    monkeypatch.setattr(_mapped, "AHEAD_BYTES", 100)
    monkeypatch.setattr(_mapped, "ALONE_BYTES", 100)  # windows of several stretches, too
    monkeypatch.setattr(_chunks, "PIECE", 3)
    monkeypatch.setattr(_chunks, "MIN_CHUNK_BYTES", 2**40 if request.param == "hdf5" else 0)
    way, _, late = request.param.partition(" ")
    monkeypatch.setattr(_whole_rows, "CALL_BYTES", 0)
    monkeypatch.setattr(_whole_rows, "TASK_BYTES", 300)
    if way == "hdf5":
        monkeypatch.setattr(_matrix, "contiguous", lambda dataset: nullcontext())
    if way == "mapped":
        monkeypatch.setattr(_matrix, "whole_rows", lambda *given: None)
    if late:
        monkeypatch.setattr(_whole_rows, "_is_filled_from_cache", lambda *part: False)
    monkeypatch.setattr(_mapped.Mapped, "_are_cached", lambda self, stretches: not late)
    return request.param


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), layout=layouts())
def test_any_subset_of_any_layout_is_what_was_stored(reading, data, layout):
    rows = data.draw(subsets(layout.shape[0]))
    cols = data.draw(subsets(layout.shape[1]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.gctx"
        values = write_layout(path, layout)
        whole = read_gctx(path)
        kwargs = {"cid": pick(whole.obs_names, rows), "rid": pick(whole.var_names, cols)}
        part = read_gctx(path, **kwargs)
        lazy = read_gctx(path, **kwargs, backed=True)
        stored = read_gctx(path, **kwargs, dtype=None)
        from_disk = lazy.X.compute()
    assert whole.X.dtype == np.float32
    np.testing.assert_array_equal(whole.X, values.astype(np.float32))
    np.testing.assert_array_equal(part.X, expected(values, rows, cols).astype(np.float32))
    np.testing.assert_array_equal(from_disk, part.X)
    np.testing.assert_array_equal(stored.X, expected(values, rows, cols))
    assert stored.X.dtype == values.dtype.newbyteorder("=")
    assert part.X.flags.c_contiguous
    pd.testing.assert_frame_equal(part.obs, expected(whole.obs, None, None).iloc[_all(rows)])
    pd.testing.assert_frame_equal(part.var, whole.var.iloc[_all(cols)])


def _all(index):
    return slice(None) if index is None else index


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), layout=layouts())
def test_it_equals_cmappy_on_generated_files(data, layout):
    layout = Layout(**{**vars(layout), "version": "text"})  # cmapPy needs the attribute
    rows = data.draw(subsets(layout.shape[0]))
    cols = data.draw(subsets(layout.shape[1]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.gctx"
        write_layout(path, layout)
        assert_equal_to_cmappy(path, rows, cols)


@pytest.mark.parametrize("name", REAL)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_it_equals_cmappy_on_real_files(mirror, name, data):
    path = mirror(name)
    with h5py.File(path) as file:
        shape = file["0/DATA/0/matrix"].shape
    seeds = st.integers(0, 2**32 - 1)
    rows, cols = (_random_subset(data.draw(seeds), size) for size in shape)
    assert_equal_to_cmappy(path, rows, cols)


def _random_subset(seed, size):
    rng = np.random.default_rng(seed)
    return None if rng.random() < 0.25 else rng.permutation(size)[: rng.integers(1, size + 1)]


def assert_equal_to_cmappy(path, rows, cols):
    """cmapPy returns file order whatever is asked, so its frames are put in the asked order."""
    whole = read_gctx(path, backed=True)
    cid, rid = pick(whole.obs_names, rows), pick(whole.var_names, cols)
    if (rows is not None and not len(rows)) or (cols is not None and not len(cols)):
        return  # cmapPy cannot read nothing
    theirs = _cmappy.parse(path, cid=cid, rid=rid)
    ours = read_gctx(path, cid=cid, rid=rid)
    frame = theirs.data_df.loc[ours.var_names, ours.obs_names]
    assert ours.X.tobytes() == np.ascontiguousarray(frame.to_numpy().T).tobytes()
    assert_same_metadata(ours.obs, theirs.col_metadata_df)
    assert_same_metadata(ours.var, theirs.row_metadata_df)


def assert_same_metadata(ours, theirs):
    assert set(ours.columns) == set(theirs.columns)
    for name in ours:
        mine, his = ours[name], theirs.loc[ours.index, name]
        if mine.dtype == object:
            assert mine.isna().tolist() == his.isna().tolist()
            assert mine.dropna().tolist() == his.dropna().tolist()
        else:
            # cmapPy parses the number's text, which moves its last bit; sigilla does not.
            np.testing.assert_allclose(mine.to_numpy(float), his.to_numpy(float), rtol=1e-14)


def test_it_reads_the_file_that_cmappy_cannot(mirror):
    path = mirror("lincs/slinky_demo_n131x12328.gctx")
    with pytest.raises(KeyError, match="version"):
        _cmappy.parse(path)
    adata = read_gctx(path, rid=["466", "5720"])
    with h5py.File(path) as file:
        stored = file["0/DATA/0/matrix"][:, :2]
    np.testing.assert_array_equal(adata.X, stored[:, ::-1])


def test_missing_metadata_is_nan_and_numbers_are_numbers(gctx):
    path, _ = gctx()
    obs = read_gctx(path).obs
    assert obs["cell_id"].tolist()[:2] == ["A375", "MCF7"]
    assert pd.isna(obs["cell_id"].iloc[2])
    assert obs["pert_dose"].dtype == np.float64
    assert obs["pert_dose"].isna().tolist() == [False, True, False, True, False, True, False]
    assert obs["pert_time"].iloc[0] == 24
    assert np.isnan(obs["pert_time"].iloc[1])


def test_integer_ids_are_text_and_may_be_asked_for_as_numbers(gctx):
    path, values = gctx(ids="integer")
    adata = read_gctx(path, rid=[13, "10"])
    assert adata.var_names.tolist() == ["13", "10"]
    np.testing.assert_array_equal(adata.X, values[:, [1, 0]])


def test_a_subset_has_the_types_of_the_whole_column(gctx):
    path, _ = gctx(metadata=False)
    with h5py.File(path, "a") as file:
        file["/0/META/COL/dose"] = np.array([b"1", b"2", b"3", b"4", b"5", b"6", b"high"])
        file["/0/META/COL/time"] = np.array([1, 2, 3, 4, 5, 6, -666])
    obs = read_gctx(path, cid=["id13", "id10"]).obs
    assert obs["dose"].tolist() == ["2", "1"]
    assert obs["time"].dtype == np.float64


@pytest.mark.parametrize("names", [["a", "bc", "µM", "long_one_of_17_by"], ["a", "b", "ab", "abc"]])
def test_ids_of_any_length_and_alphabet_are_found(tmp_path, names):
    path = tmp_path / "named.gctx"
    values = write_layout(path, Layout(shape=(4, 3)))
    with h5py.File(path, "a") as file:
        del file["/0/META/COL/id"]
        file["/0/META/COL/id"] = np.array([name.encode() for name in names])
    adata = read_gctx(path, cid=names[::-1])
    assert adata.obs_names.tolist() == names[::-1]
    np.testing.assert_array_equal(adata.X, values[::-1])
    for unknown in ("b" * 40, "cb", "µ", ""):
        with pytest.raises(DataError, match="1 of 2 ids are not in"):
            read_gctx(path, cid=["a", unknown])


def test_ids_whose_hashes_collide_are_still_told_apart(gctx, monkeypatch):
    path, values = gctx()
    monkeypatch.setattr(_ids, "hashes", lambda values: np.zeros(len(values), np.uint64))
    adata = read_gctx(path, cid=["id28", "id10"])
    np.testing.assert_array_equal(adata.X, values[[6, 0]])


def test_the_same_id_in_utf_8_and_in_latin_1_is_a_repeated_one(gctx):
    path, _ = gctx(shape=(2, 2))
    with h5py.File(path, "a") as file:
        del file["/0/META/COL/id"]
        file["/0/META/COL/id"] = np.array(["µ".encode(), "µ".encode("latin-1")])
    with pytest.raises(DataError, match=r"1 column .signature. ids more than once"):
        read_gctx(path)


def test_latin_1_bytes_are_decoded(gctx):
    path, _ = gctx(metadata=False)
    with h5py.File(path, "a") as file:
        file["/0/META/COL/pert_idose"] = np.array(["10 µM".encode("latin-1")] * 7)
    assert set(read_gctx(path).obs["pert_idose"]) == {"10 µM"}


def test_text_padded_with_blanks_is_read_without_them(gctx):
    path, _ = gctx(shape=(2000, 2), metadata=False)
    padded = h5py.h5t.C_S1.copy()
    padded.set_size(12)
    padded.set_strpad(h5py.h5t.STR_SPACEPAD)  # as MATLAB writes
    with h5py.File(path, "a") as file:
        kind = h5py.Datatype(padded)
        column = file.create_dataset(
            "/0/META/COL/cell_id", (2000,), kind, chunks=(1000,), compression="gzip"
        )
        column[...] = np.array([b"A375", b"MCF7"] * 1000)
    assert read_gctx(path).obs["cell_id"].tolist() == ["A375", "MCF7"] * 1000


def test_numbers_of_one_plain_chunk_can_be_changed(gctx):
    path, _ = gctx(shape=(600, 2), metadata=False)
    with h5py.File(path, "a") as file:
        file["/0/META/COL"].create_dataset("dose", data=np.arange(600.0), chunks=(600,))
    adata = read_gctx(path)
    adata.obs.iloc[0, 0] = 7
    assert adata.obs["dose"].tolist() == [7, *range(1, 600)]


@pytest.mark.parametrize("chunk", [None, 32], ids=["contiguous", "chunked"])
def test_numbers_of_odd_bits_are_what_hdf5_says(gctx, chunk, monkeypatch):
    monkeypatch.setattr(_chunks, "MIN_CHUNK_BYTES", 0)
    path, _ = gctx(shape=(64, 128), metadata=False)
    odd = h5py.h5t.STD_I16LE.copy()
    odd.set_precision(12)
    odd.set_offset(4)
    matrix = np.arange(64 * 128).reshape(64, 128) % 2000 - 1000
    column = np.arange(64) + 1
    with h5py.File(path, "a") as file:
        del file["/0/DATA/0/matrix"]
        for name, values in (("/0/DATA/0/matrix", matrix), ("/0/META/COL/dose", column)):
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            if chunk:
                layout.set_chunk((chunk, *values.shape[1:]))
            space = h5py.h5s.create_simple(values.shape)
            h5py.h5d.create(file.id, name.encode(), odd, space, layout)
            file[name][...] = values
    adata = read_gctx(path)
    np.testing.assert_array_equal(adata.X, matrix)
    np.testing.assert_array_equal(adata.obs["dose"], column)


def test_links_to_nothing_are_no_metadata(gctx):
    path, _ = gctx(shape=(5, 2), metadata=False)
    with h5py.File(path, "a") as file:
        file["/0/META/COL/gone"] = h5py.SoftLink("/nowhere")
        file["/0/META/COL/away"] = h5py.ExternalLink("missing.h5", "/x")
        file["/0/META/COL/dose"] = np.arange(5.0)
    assert list(read_gctx(path).obs) == ["dose"]


def test_a_name_is_not_found_by_the_zeros_that_pad_it(gctx):
    path, _ = gctx(shape=(5, 2))
    name = read_gctx(path).obs_names[0]
    assert read_gctx(path, cid=name).obs_names.tolist() == [name]
    with pytest.raises(DataError, match="not in"):
        read_gctx(path, cid=[f"{name}\0"])


def test_metadata_that_collides_in_the_hash_is_still_told_apart(gctx, monkeypatch):
    path, _ = gctx(shape=(50, 2), metadata=False)
    names = [f"a_long_value_{i % 7}_{'x' * (i % 20)}" for i in range(50)]
    with h5py.File(path, "a") as file:
        file["/0/META/COL/name"] = np.array([n.encode() for n in names])
    original = pd.factorize
    monkeypatch.setattr(  # every value gets one hash, as if all collided
        pd, "factorize", lambda v, **_: original(v if v.dtype == object else np.zeros_like(v))
    )
    assert read_gctx(path).obs["name"].tolist() == names


def test_unwritten_chunks_hold_the_fill_value(tmp_path):
    path = tmp_path / "holes.gctx"
    write_layout(path, Layout(shape=(64, 128), chunks=(8, 128), filters="gzip"))
    with h5py.File(path, "a") as file:
        del file["/0/DATA/0/matrix"]
        matrix = file.create_dataset(
            "/0/DATA/0/matrix", (64, 128), "<f8", chunks=(32, 128), compression="gzip", fillvalue=7
        )
        matrix[32:] = 1
    values = read_gctx(path).X
    assert set(values[:32].ravel()) == {7}
    assert set(values[32:].ravel()) == {1}


@pytest.fixture
def asked(monkeypatch):
    """The rows and columns that every read of a backed matrix asks of the file."""
    seen = []
    original = _matrix.read_matrix

    def spy(dataset, rows, cols, dtype):
        seen.append((rows, cols))
        return original(dataset, rows, cols, dtype)

    monkeypatch.setattr("sigilla.io._lazy.read_matrix", spy)
    return seen


def test_backed_reads_nothing_until_asked_and_then_only_blocks_it_needs(gctx, asked, monkeypatch):
    monkeypatch.setattr("sigilla.io._lazy.BLOCK_BYTES", 10 * 20 * 4)
    path, values = gctx(shape=(50, 20))
    adata = read_gctx(path, backed=True)
    part = adata[[43, 3, 7], [5, 2]]
    assert not asked
    np.testing.assert_array_equal(part.X.compute(), values[[43, 3, 7]][:, [5, 2]])
    assert sorted(rows.tolist() for rows, _ in asked) == [list(range(10)), list(range(40, 50))]


def test_the_source_of_a_backed_matrix_reads_single_rows(gctx, asked):
    path, values = gctx(shape=(50, 20))
    adata = read_gctx(path, cid=["id40", "id13", "id22"], backed=True)
    rows = disk_matrix(adata.X)[np.array([2, 0]), :]
    np.testing.assert_array_equal(rows, values[[4, 10]])
    assert [rows.tolist() for rows, _ in asked] == [[4, 10]]
    assert disk_matrix(adata[:2].X) is None


def test_a_backed_file_is_not_held_open_and_can_be_pickled(gctx):
    path, values = gctx()
    adata = read_gctx(path, backed=True)
    again = pickle.loads(pickle.dumps(adata))
    np.testing.assert_array_equal(again.X.compute(), values)
    with h5py.File(path, "a") as file:  # HDF5 refuses this where a reader has the file open
        file.attrs["touched"] = 1


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_what_is_read_survives_on_disk(gctx, tmp_path, kind, backed):
    path, values = gctx()
    adata = read_gctx(path, backed=backed)
    target = tmp_path / f"kept.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # anndata on the version of zarr
        (adata.write_h5ad if kind == "h5ad" else adata.write_zarr)(target)
        kept = (ad.read_h5ad if kind == "h5ad" else ad.read_zarr)(target)
    np.testing.assert_array_equal(kept.X, values)
    for name in adata.obs:
        assert kept.obs[name].isna().tolist() == adata.obs[name].isna().tolist()
        assert kept.obs[name].dropna().tolist() == adata.obs[name].dropna().tolist()
