"""What read_gctx says when a file or an id is wrong."""

from __future__ import annotations

import errno
import gzip
import mmap
import shlex
import shutil
import subprocess
import sys

import anndata as ad
import h5py
import numpy as np
import pytest

from sigilla.errors import DataError, FileError
from sigilla.io import _mapped, read_gctx


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match=r"none\.gctx' does not exist"):
        read_gctx(tmp_path / "none.gctx")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        read_gctx(tmp_path)


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_said_to_be_damaged(gctx, keep):
    path, _ = gctx(shape=(100, 100))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(FileError, match=r"damaged or incomplete.*again|content is"):
        read_gctx(path)


def test_damaged_compressed_bytes_are_said_to_be_damaged(gctx):
    path, _ = gctx(shape=(100, 100), chunks=(50, 100), filters="gzip")
    with h5py.File(path) as file:
        info = file["0/DATA/0/matrix"].id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(info.byte_offset + info.size // 2)
        raw.write(b"\xff" * 64)
    with pytest.raises(FileError, match="damaged"):
        read_gctx(path)


@pytest.mark.parametrize(
    ("text", "kind"), [("id\ts1\n780\t1.0\n", "text.*read_table"), ("", "empty")]
)
def test_a_text_file_named_gctx_is_told_what_it_is(tmp_path, text, kind):
    path = tmp_path / "fake.gctx"
    path.write_text(text)
    with pytest.raises(FileError, match=f"not a GCTX .HDF5. file: its content is {kind}"):
        read_gctx(path)


def test_a_gct_named_gctx_points_to_read_gct(tmp_path):
    path = tmp_path / "fake.gctx"
    path.write_text("#1.3\n1\t1\t0\t0\n")
    with pytest.raises(FileError, match="read_gct"):
        read_gctx(path)


def test_a_packed_file_is_refused_with_the_command_that_unpacks_it(gctx, tmp_path):
    path, _ = gctx()
    packed = tmp_path / "level 5.gctx.gz"
    with path.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    with pytest.raises(FileError) as caught:
        read_gctx(packed)
    assert f"gunzip -k {shlex.quote(str(packed))}" in str(caught.value)


def test_an_h5ad_file_is_recognised(tmp_path):
    path = tmp_path / "other.gctx"
    ad.AnnData(np.ones((2, 2), dtype="float32")).write_h5ad(path)
    with pytest.raises(FileError, match=r"not GCTX.*read_h5ad"):
        read_gctx(path)


def test_ids_that_do_not_fit_the_matrix_are_refused(gctx):
    path, _ = gctx(metadata=False)
    with h5py.File(path, "a") as file:
        del file["/0/META/COL/id"]
        file["/0/META/COL/id"] = np.array([b"a", b"b"])
    with pytest.raises(
        FileError, match=r"matrix is \(7, 5\).*column ids are \(2,\).*row ids \(5,\)"
    ):
        read_gctx(path)


@pytest.mark.parametrize(
    ("value", "said"),
    {
        "a group": (None, "has no dataset '/0/META/ROW/id'.*'/0/META/ROW/id' is a group there"),
        "one id": (b"a", r"row ids \(\) of"),
        "ids in two columns": (np.zeros((5, 2), "S1"), r"row ids \(5, 2\) of"),
        "pairs": (np.zeros(5, "i4,S3"), "'/0/META/ROW/id' holds .*f0"),
        "nothing": (h5py.Empty("S3"), "row ids None of"),
        "a link to nothing": (h5py.SoftLink("/nowhere"), "has no dataset"),
    }.values(),
)
def test_ids_that_are_none_are_refused(gctx, value, said):
    path, _ = gctx(shape=(7, 5))
    with h5py.File(path, "r+") as file:
        del file["/0/META/ROW/id"]
        if value is None:
            file.create_group("/0/META/ROW/id")
        else:
            file["/0/META/ROW/id"] = value
    with pytest.raises(FileError, match=said):
        read_gctx(path)


def test_a_metadata_column_that_does_not_fit_is_named(gctx):
    path, _ = gctx()
    with h5py.File(path, "a") as file:
        file["/0/META/COL/short"] = np.arange(3)
    with pytest.raises(FileError, match="'short' has shape"):
        read_gctx(path)


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (lambda file: [file.ref] * 7, h5py.ref_dtype, "references"),
        (lambda _: np.zeros(7, "i4,f4"), None, "f0"),
        (lambda _: None, h5py.vlen_dtype(int), "arrays"),
    ],
)
def test_a_metadata_column_of_neither_numbers_nor_text_is_named(gctx, values, kind, said):
    path, _ = gctx(shape=(7, 5))
    with h5py.File(path, "a") as file:
        file["0/META/COL"].create_dataset("odd", (7,), kind, values(file))
    with pytest.raises(FileError, match=f"'odd' holds .*{said}"):
        read_gctx(path)


@pytest.mark.parametrize("name", ["odd", "id"])
def test_a_metadata_column_of_hdf5_times_is_named(gctx, name):
    path, _ = gctx(shape=(7, 5))
    with h5py.File(path, "a") as file:
        columns = file["0/META/COL"]
        if name in columns:
            del columns[name]
        space = h5py.h5s.create_simple((7,))
        h5py.h5d.create(columns.id, name.encode(), h5py.h5t.UNIX_D32LE, space)
    with pytest.raises(FileError, match=f"{name}' holds a type that numpy lacks"):
        read_gctx(path)


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(
    "asked", [{}, {"backed": True}, {"cid": ["id13"]}, {"rid": ["id13"]}, {"cid": [], "rid": []}]
)
@pytest.mark.parametrize(("axis", "called"), [("COL", "column"), ("ROW", "row")])
def test_repeated_ids_in_the_file_are_named(gctx, monkeypatch, axis, called, asked, in_pieces):
    if in_pieces:
        monkeypatch.setattr("sigilla.io._chunks.PIECE", 3)
    path, _ = gctx(metadata=False)
    with h5py.File(path, "a") as file:
        file[f"/0/META/{axis}/id"][3] = b"id10"
    with pytest.raises(DataError, match=f"1 {called} .* more than once: 'id10'"):
        read_gctx(path, **asked)


def test_unknown_ids_are_named_and_a_near_one_proposed(gctx):
    path, _ = gctx()
    with pytest.raises(DataError, match=r"cid: 1 of 2 ids are not in made\.gctx: 'ID13'.*'id13'"):
        read_gctx(path, cid=["id10", "ID13"])
    with pytest.raises(DataError, match="rid: 1 of 1"):
        read_gctx(path, rid="nothing")


def test_ids_asked_for_twice_are_named(gctx):
    path, _ = gctx()
    with pytest.raises(DataError, match="rid names 'id13' more than once"):
        read_gctx(path, rid=["id13", "id10", "id13"])


def test_where_a_file_system_maps_no_files_hdf5_reads_them(gctx, monkeypatch):
    tries = []

    def refused(*_, **__):
        tries.append(1)
        raise OSError(errno.ENODEV, "No such device")

    path, values = gctx(shape=(50, 20))
    genes = read_gctx(path).var_names[[3, 0]]
    monkeypatch.setattr(mmap, "mmap", refused)
    found = read_gctx(path, rid=genes).X
    np.testing.assert_array_equal(found, values[:, [3, 0]])
    assert tries


def populates() -> bool:
    """Whether the system has the advice that tells of a page that cannot be had."""
    if sys.platform != "linux":
        return False
    try:
        mmap.mmap(-1, mmap.PAGESIZE).madvise(_mapped._POPULATE)
    except OSError:
        return False
    return True


CUT_WHILE_READ = """
import os, sys
from sigilla.errors import FileError
from sigilla.io import _mapped, _whole_rows, read_gctx

def cut_before(holder, name):
    step = getattr(holder, name)

    def cut_first(*args):
        os.truncate(sys.argv[1], 50_000)
        step(*args)

    setattr(holder, name, cut_first)

cut_before(_mapped.Mapped, "_fill")
cut_before(_whole_rows, "_read")
wanted = [text.split() or None for text in sys.argv[2:]]
try:
    read_gctx(sys.argv[1], **dict(zip(("rid", "cid"), wanted)))
except FileError as error:
    print(error)
"""


NEEDS_ADVICE = pytest.mark.skipif(
    not populates(),
    reason="needs MADV_POPULATE_READ (Linux 5.14): without it a missing page raises SIGBUS",
)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param([], id="all, read"),
        pytest.param(["id10 id40"], id="some genes, mapped", marks=NEEDS_ADVICE),
        pytest.param(["id10 id40", "id1501 id10 id901"], id="both, mapped", marks=NEEDS_ADVICE),
    ],
)
def test_a_file_cut_off_while_it_is_read_is_an_error_and_not_the_end_of_the_process(gctx, wanted):
    path, _ = gctx(shape=(500, 100))
    command = [sys.executable, "-c", CUT_WHILE_READ, str(path), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "is damaged or incomplete" in done.stdout


def test_a_damaged_header_of_a_column_is_named_as_damage(gctx):
    path, _ = gctx(shape=(5, 2), metadata=False)
    with h5py.File(path, "a") as file:
        file["/0/META/COL/dose"] = np.arange(5.0)
        address = h5py.h5o.get_info(file["/0/META/COL/dose"].id).addr
    with path.open("r+b") as file:
        file.seek(address)
        file.write(b"\xff" * 8)
    with pytest.raises(FileError, match="is damaged or incomplete"):
        read_gctx(path)
