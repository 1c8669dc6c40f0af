"""Columns of metadata that are read piece by piece are what they are when read at once."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigilla.io import _chunks
from sigilla.io._chunks import read_at, read_column, read_pieces
from sigilla.io._ids import Ids
from sigilla.io._metadata import SHORT, decode, tidy

SMALL = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = st.lists(st.text("ab1-6\0", min_size=1, max_size=12), min_size=1, max_size=40)


@pytest.fixture
def in_pieces(monkeypatch):
    monkeypatch.setattr(_chunks, "PIECE", 5)
    monkeypatch.setattr(_chunks, "MIN_CHUNK_BYTES", 0)


@pytest.fixture(params=["contiguous", "gzip"])
def stored(request, tmp_path):
    """A function that stores a column and opens it."""
    options = {"chunks": (2,), "compression": "gzip"} if request.param == "gzip" else {}
    with h5py.File(tmp_path / "columns.h5", "w") as file:

        def store(values):
            file.pop("x", None)
            file.create_dataset("x", data=values, maxshape=(None,) if options else None, **options)
            file.flush()
            return file["x"]

        yield store


@SMALL
@given(texts=NAMES)
def test_pieces_follow_each_other_and_hold_all(in_pieces, stored, texts):
    values = np.array(texts, dtype="S")
    column = stored(values)
    pieces = [(where, part.copy()) for where, part in read_pieces(column)]
    assert len(pieces) == -(-len(values) // (4 if column.chunks else 5))
    np.testing.assert_array_equal(np.concatenate([v for _, v in pieces]), values)
    assert [p.start for p, _ in pieces[1:]] == [p.stop for p, _ in pieces[:-1]]
    np.testing.assert_array_equal(read_column(column), values)


@SMALL
@given(texts=NAMES, data=st.data())
def test_values_come_in_the_order_of_their_positions(in_pieces, stored, texts, data):
    values = np.array(texts, dtype="S")
    at = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), max_size=30)), dtype=np.intp)
    np.testing.assert_array_equal(read_at(stored(values), at), values[at])


def test_wide_text_is_read_in_smaller_pieces(monkeypatch, stored):
    monkeypatch.setattr(_chunks, "PIECE_BYTES", 600)
    monkeypatch.setattr(_chunks, "MIN_CHUNK_BYTES", 0)
    values = np.array([f"{i:0100d}" for i in range(20)], dtype="S100")
    column = stored(values)
    assert [len(v) for _, v in read_pieces(column)] == [6, 6, 6, 2]
    at = np.array([19, 0, 7, 7])
    np.testing.assert_array_equal(read_at(column, at), values[at])


@SMALL
@given(texts=NAMES)
def test_a_column_in_pieces_is_tidied_as_a_whole(in_pieces, stored, texts):
    values = np.array(texts, dtype="S")
    found, whole = tidy(stored(values)), tidy(values[:])
    pd.testing.assert_series_equal(pd.Series(found), pd.Series(whole))  # NaN is NaN
    expected = [t.rstrip("\0") for t in texts]
    if found.dtype.kind == "O":
        assert [e if e != "-666" else None for e in expected] == [
            v if isinstance(v, str) else None for v in found
        ]


@pytest.mark.parametrize("width", [1, 8, 13, SHORT, SHORT + 1])
@pytest.mark.parametrize("alphabet", ["ab -\0", "aµ→\0", "a\x7f"])
def test_bytes_of_any_width_become_the_text_that_python_makes_of_them(width, alphabet):
    rng = np.random.default_rng(width)
    texts = ["".join(rng.choice(list(alphabet), rng.integers(width + 1))) for _ in range(100)]
    whole = [text.encode()[:width].decode(errors="ignore") for text in texts]
    values = np.array([text.encode() for text in whole], f"S{width}")
    expected = [text.rstrip("\0") for text in whole]
    assert decode(values).tolist() == expected
    assert decode(np.repeat(values, 2)[::2]).tolist() == expected


@SMALL
@given(texts=st.lists(st.text("abc1", min_size=1, max_size=20), unique=True, min_size=1))
def test_ids_are_found_where_they_stand(in_pieces, stored, texts):
    ids = Ids(stored(np.array(texts, dtype="S")), Path("ids.gctx"), "cid")
    order = np.argsort(texts)[::-1]
    asked = [texts[i] for i in order]
    np.testing.assert_array_equal(ids.positions(asked), order)
    assert ids.names(order).tolist() == asked
    assert ids.names().tolist() == texts
