"""What stands in a file as in memory, and what only HDF5 can tell."""

from __future__ import annotations

import os
import sys

import h5py
import numpy as np
import pytest

from sigilla.io._contiguous import contiguous
from sigilla.io._mapped import mapped
from sigilla.io._whole_rows import whole_rows


@pytest.mark.parametrize("kind", ["user block", "of 12 bits"])
def test_what_is_not_in_the_file_as_in_memory_is_left_to_hdf5(tmp_path, kind):
    block = 512 if kind == "user block" else 0
    with h5py.File(tmp_path / "odd.h5", "w", userblock_size=block) as file:
        odd = h5py.h5t.STD_I16LE.copy()
        if not block:
            odd.set_precision(12)
            odd.set_offset(4)
        space = h5py.h5s.create_simple((3, 2))
        h5py.h5d.create(file.id, b"x", odd, space)
        if not block:
            file["x"][...] = [[1, 2], [3, 4], [5, 6]]
        with contiguous(file["x"]) as found:
            assert found is None


def test_a_file_that_ends_before_its_matrix_is_an_error_before_any_work(tmp_path):
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((400, 100))
    with h5py.File(path) as file:
        with contiguous(file["x"]) as found:
            os.truncate(path, found.offset + 30_000)
        with (
            pytest.raises(OSError, match="the file ends before its matrix does"),
            contiguous(file["x"]),
        ):
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody replace an open file")
def test_the_file_that_was_opened_is_read_whatever_stands_at_its_path_later(tmp_path):
    path, values = tmp_path / "made.h5", np.arange(4e4).reshape(400, 100)
    with h5py.File(path, "w") as file:
        file["x"] = values
    with h5py.File(path) as file:
        with contiguous(file["x"]) as found:
            (tmp_path / "other").write_bytes(b"\0" * path.stat().st_size)
            (tmp_path / "other").replace(path)
            for way in (whole_rows(found, None, out := np.zeros((400, 100))), None):
                for task in way or mapped(found).tasks(None, None, out := np.zeros((400, 100))):
                    task()
                np.testing.assert_array_equal(out, values)
        with (
            pytest.raises(OSError, match="another file has taken its place"),
            contiguous(file["x"]),
        ):
            pass
