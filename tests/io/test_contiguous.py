"""What stands in a file as in memory, and what only HDF5 can tell."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from sigilla.io._contiguous import contiguous


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
        assert contiguous(file["x"]) is None


def test_a_file_that_ends_before_its_matrix_is_an_error_before_any_work(tmp_path):
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((400, 100))
    with h5py.File(path) as file:
        os.truncate(path, contiguous(file["x"]).offset + 30_000)
        with pytest.raises(OSError, match="the file ends before its matrix does"):
            contiguous(file["x"])
