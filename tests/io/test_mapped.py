"""A window of the file in memory at a time: what is brought in, and what is let go of."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigilla.io import _mapped, disk_matrix, read_gctx
from sigilla.io._contiguous import contiguous
from sigilla.io._tasks import workers

SHAPE = (120, 30)
LINE = 30 * 4


@contextmanager
def matrix_of(path):
    """The matrix of a GCTX file, mapped."""
    with h5py.File(path) as file, contiguous(file["/0/DATA/0/matrix"]) as stored:
        yield _mapped.mapped(stored)


@pytest.fixture
def windows(monkeypatch):
    """What each task brought in and let go of, in windows of a thousand bytes."""
    sizes = {"WINDOWS_BYTES": 1000 * workers(), "ALONE_BYTES": 400, "AHEAD_BYTES": 300}
    for name, value in sizes.items():
        monkeypatch.setattr(_mapped, name, value)
    seen = []

    def advise(begin, size, kind):
        seen.append([(begin, begin + size)])
        return 0

    monkeypatch.setattr(_mapped.Mapped, "_bring_in", lambda self, stretches: seen.append(stretches))
    monkeypatch.setattr(_mapped, "_madvise", advise)
    return seen


def some(size):
    return st.lists(st.integers(0, size - 1), min_size=1, max_size=60).map(np.array)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.none() | some(SHAPE[0]), cols=st.none() | some(SHAPE[1]))
def test_what_is_touched_is_brought_in_before_and_its_whole_rows_let_go_of_after(
    gctx, windows, rows, cols
):
    path, values = gctx(shape=SHAPE)
    every = np.arange(SHAPE[0]) if rows is None else rows
    wanted = values[every] if cols is None else values[np.ix_(every, cols)]
    left, right = (0, LINE) if cols is None else (cols.min() * 4, (cols.max() + 1) * 4)
    out = np.full(wanted.shape, np.nan, values.dtype)
    with matrix_of(path) as matrix:
        for task in matrix.tasks(rows, cols, out):
            windows.clear()
            before = np.isnan(out).any(axis=1)
            task()
            brought, ((begin, end),) = windows
            touched = every[before & ~np.isnan(out).any(axis=1)]
            at = matrix.stored.offset - matrix.base + touched * LINE
            for place in at.tolist():
                assert any(a <= place + left and place + right <= b for a, b in brought)
            assert sum(b - a for a, b in brought) <= 1000 + LINE
            assert begin - matrix.address <= min(at)
            assert max(at) + LINE <= end - matrix.address
    np.testing.assert_array_equal(out, wanted)


def test_rows_that_are_asked_for_twice_come_twice(gctx):
    path, values = gctx(shape=SHAPE)
    genes = read_gctx(path).var_names[[3, 0]]
    backed = disk_matrix(read_gctx(path, rid=genes, backed=True).X)
    rows = [5, 5, 0, 119, 5]
    np.testing.assert_array_equal(backed[rows, :], values[rows][:, [3, 0]])


@pytest.mark.parametrize(("answers", "touched"), [([3, 2], True), ([3, 1], False), ([-1], False)])
def test_pages_are_only_touched_where_the_system_says_that_it_has_all(
    gctx, monkeypatch, answers, touched
):
    path, _ = gctx(shape=(200, 100))
    page = mmap.PAGESIZE
    asked, advice, left = [], [], list(answers)

    def syscall(number, file, what, found, flags):
        assert (number, flags) == (451, 0)
        asked.append(list(what))
        found[0] = max(left[0], 0)
        return min(left.pop(0), 0)

    monkeypatch.setattr(_mapped, "_syscall", syscall)
    monkeypatch.setattr(_mapped, "_madvise", lambda begin, size, kind: advice.append(kind) or 0)
    monkeypatch.setattr(_mapped.sys, "platform", "linux")
    with matrix_of(path) as matrix:
        matrix._bring_in([(5, 3 * page - 5), (3 * page + 7, 4 * page + 9)])
        both = [[matrix.base, 3 * page - 5], [matrix.base + 3 * page, page + 9]]
    assert asked == both[: len(answers)]
    assert advice == ([] if touched else [_mapped._POPULATE] * 2)


def test_a_file_that_the_system_knows_all_of_is_known_to_be_cached(gctx):
    path, _ = gctx(shape=(200, 100))
    path.read_bytes()
    found = (ctypes.c_uint64 * 5)()
    whole = (ctypes.c_uint64 * 2)(0, path.stat().st_size)
    with matrix_of(path) as matrix:
        asked = (451, matrix.stored.file, whole, found, 0)
        tells = _mapped._syscall and not _mapped._syscall(*asked)
        assert matrix._are_cached([(0, 50_000)]) == bool(tells)
        assert not matrix._are_cached([(0, 50_000), (0, 10**7)])  # there is no more of the file


def test_rows_far_apart_are_mapped_few_at_a_time(gctx, monkeypatch):
    sizes = {"WINDOWS_BYTES": 8000 * workers(), "ALONE_BYTES": 4000, "AHEAD_BYTES": 100}
    for name, value in sizes.items():
        monkeypatch.setattr(_mapped, name, value)
    path, values = gctx(shape=(1000, 25))
    rows = np.arange(0, 1000, 50)
    with matrix_of(path) as matrix:
        found = np.empty((20, 25), values.dtype)
        tasks = list(matrix.tasks(rows, None, found))
        for task in tasks:
            task()
    assert len(tasks) >= 20 * 4000 // 8000
    np.testing.assert_array_equal(found, values[rows])
