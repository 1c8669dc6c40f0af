"""Whole rows are read from the file straight to where they belong, in few calls."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from sigilla.io import _whole_rows
from sigilla.io._contiguous import contiguous

pytestmark = pytest.mark.skipif(
    not hasattr(os, "preadv"),
    reason="without preadv (Windows) nothing is read this way: whole rows come from the map",
)
SHAPE = (400, 5000)  # 20,000 bytes a row


@pytest.fixture
def stored(tmp_path):
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    with h5py.File(tmp_path / "made.h5", "w") as file:
        file["x"] = values
    with h5py.File(tmp_path / "made.h5") as file, contiguous(file["x"]) as matrix:
        yield matrix, values


@pytest.fixture
def reads(monkeypatch):
    """Where each read begins and how long it is."""
    seen, preadv = [], os.preadv

    def noted(file, buffers, place, *flags):
        seen.append((place, len(buffers[0])))
        return preadv(file, buffers, place, *flags)

    monkeypatch.setattr(os, "preadv", noted)
    monkeypatch.setattr(_whole_rows, "_NOWAIT", None)  # each part is asked for once
    return seen


def filled(matrix, rows):
    out = np.empty((matrix.shape[0] if rows is None else len(rows), matrix.shape[1]), matrix.dtype)
    tasks = _whole_rows.whole_rows(matrix, rows, out)
    if tasks is None:
        return None
    for task in tasks:
        task()
    return out


def test_all_rows_are_a_few_long_reads(stored, reads):
    matrix, values = stored
    np.testing.assert_array_equal(filled(matrix, None), values)
    assert len(reads) == 1  # 8 MB are no more than one task
    assert reads == [(matrix.offset, values.nbytes)]


def test_neighbours_are_one_read_and_reads_go_forward_in_the_file(stored, reads):
    matrix, values = stored
    rows = np.array([300, 301, 302, 7, 8, 9, 10, 150, 151])
    np.testing.assert_array_equal(filled(matrix, rows), values[rows])
    begins = [7, 150, 300]
    assert [place for place, _ in reads] == [matrix.offset + 20_000 * row for row in begins]
    assert [size // 20_000 for _, size in reads] == [4, 2, 3]


def test_rows_that_come_twice_or_backwards_are_read_as_asked(stored):
    matrix, values = stored
    rows = np.array([399, 398, 5, 5, 0, *range(100, 200)])
    np.testing.assert_array_equal(filled(matrix, rows), values[rows])


def test_short_rows_far_apart_are_left_to_the_map(stored):
    assert filled(stored[0], np.arange(0, 400, 2)) is None


def test_other_types_are_left_to_the_map(stored):
    out = np.empty(SHAPE, np.float64)
    assert _whole_rows.whole_rows(stored[0], None, out) is None


def test_a_read_that_ends_early_is_gone_on_with(stored, monkeypatch):
    matrix, values = stored
    preadv = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda file, buffers, place, *_: preadv(file, [buffers[0][:7000]], place)
    )
    np.testing.assert_array_equal(filled(matrix, None), values)


def test_the_disk_is_told_of_all_that_the_cache_lacks_before_anything_is_waited_for(
    stored, monkeypatch
):
    matrix, values = stored
    seen, preadv = [], os.preadv

    def noted(file, buffers, place, *flags):
        if flags:
            seen.append("asked")
            raise BlockingIOError
        seen.append("waited")
        return preadv(file, buffers, place)

    monkeypatch.setattr(_whole_rows, "_NOWAIT", 8)
    monkeypatch.setattr(os, "preadv", noted)
    monkeypatch.setattr(os, "posix_fadvise", lambda *_: seen.append("told"), raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)  # macOS has neither
    rows = np.arange(0, 400, 40)[:, None] + np.arange(10)
    np.testing.assert_array_equal(filled(matrix, rows.ravel()), values[rows.ravel()])
    assert seen == ["asked", *["told"] * 10, *["waited"] * 10]


def test_a_file_that_ends_meanwhile_is_an_error(stored, tmp_path):
    matrix, _ = stored
    os.truncate(tmp_path / "made.h5", matrix.offset + 30_000)
    with pytest.raises(OSError, match="the file ended while its matrix was read"):
        filled(matrix, None)
