"""Ids of signatures and genes: unique in a file, and found in the order asked for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sigilla.errors import DataError, listed
from sigilla.io._bytes import are_ascii, hashes
from sigilla.io._chunks import is_one_piece, read_at, read_column, read_pieces, slices
from sigilla.io._metadata import decode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Index = NDArray[np.intp]


@dataclass(eq=False)
class Ids:
    """The ids of one axis as a file holds them: bytes, text or numbers.

    Turning a million ids into text takes longer than reading a tenth of their signatures, and
    holding their bytes is more than a tenth of them. So bytes are read piece by piece, compared
    and looked up by hashes, and only the ids that somebody sees become text. That they are unique
    is checked before any of them is looked up or all are named.
    """

    stored: Array | h5py.Dataset
    """Of few ids the values, of many the dataset."""
    path: Path
    argument: Literal["cid", "rid"]
    _found: tuple[Index, list[str]] | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, dataset: h5py.Dataset, path: Path, argument: Literal["cid", "rid"]) -> Ids:
        """The ids of a file; few are kept, for they are read up to three times."""
        stored = read_column(dataset) if is_one_piece(dataset) else dataset
        return cls(stored, path, argument)

    def __len__(self) -> int:
        return len(self.stored)

    def names(self, at: Index | None = None) -> pd.Index:
        """The ids at these positions, which :meth:`positions` found, or all; as text."""
        if at is None:
            self.check_unique()
            return self._text
        if self._found is not None and self._found[0] is at:  # the text that was asked for
            return pd.Index(self._found[1], dtype=object)
        return pd.Index(decode(read_at(self.stored, at)), dtype=object)

    def check_unique(self) -> None:
        """Raise a DataError that names the ids which the file holds more than once."""
        found = self._hashed()
        if found is None or not _all_differ(found):
            self._check_text()

    def _check_text(self) -> None:
        if not self._text.is_unique:
            repeated = self._text[self._text.duplicated()].unique()
            axis = {"cid": "column (signature)", "rid": "row (gene)"}[self.argument]
            raise DataError(
                f"path={str(self.path)!r} has {len(repeated)} {axis} ids more than once: "
                f"{listed(repeated)}. Ids must be unique; write the file again with unique ones."
            )

    def positions(self, asked: Iterable[object] | None) -> Index | None:
        """Where the ids asked for are; None where all are wanted."""
        if asked is None:
            return None
        if self._hashes is None:
            self._check_text()
        names = [str(asked)] if isinstance(asked, str) else list(map(str, asked))
        if len(set(names)) < len(names):
            wanted = pd.Index(names)
            repeated = wanted[wanted.duplicated()].unique()
            raise DataError(
                f"{self.argument} names {listed(repeated)} more than once; ask once for each."
            )
        found = self._find(names)
        unknown = [names[i] for i in np.flatnonzero(found < 0).tolist()]
        if unknown:
            raise DataError(
                f"{self.argument}: {len(unknown)} of {len(names)} ids are not in {self.path.name}: "
                f"{listed(unknown, 5)}. {_proposal(unknown[0], self._text)}"
            )
        self._found = found, names
        self._forget_hashes()
        return found

    def _find(self, names: list[str]) -> Index:
        """Positions; -1 for a name that is not there."""
        stored, hashed = self.stored, self._hashes
        width = stored.dtype.itemsize  # h5py makes the type anew each time it is asked for
        joined = "".join(names)
        plain = joined.isascii() and "\0" not in joined
        if hashed is None or not plain or max(map(len, names), default=0) > width:
            return self._text.get_indexer(pd.Index(names, dtype=object))
        asked = np.array(names, dtype=stored.dtype)
        wanted = pd.Index(hashes(asked))
        if not wanted.is_unique:  # names that no file holds may share a hash
            return self._text.get_indexer(pd.Index(names, dtype=object))
        if is_one_piece(stored):
            found = hashed.get_indexer(wanted)
        else:  # a table of the ids asked for is smaller
            found = np.full(len(names), -1)
            for block in slices(len(hashed)):
                which = wanted.get_indexer(hashed[block])
                there = np.flatnonzero(which >= 0)
                found[which[there]] = block.start + there
        # The hashes of the file all differ, so an id of the same hash is this one or none is.
        there = np.flatnonzero(found >= 0)
        found[there[read_at(stored, found[there]) != asked[there]]] = -1
        return found

    def _forget_hashes(self) -> None:
        """Ids are looked up once; a million hashes would stay in memory beside the result."""
        vars(self).pop("_hashes", None)

    @cached_property
    def _text(self) -> pd.Index:
        texts = np.empty(len(self), dtype=object)
        for piece, values in read_pieces(self.stored):
            texts[piece] = decode(values)
        return pd.Index(texts, dtype=object)

    @cached_property
    def _hashes(self) -> pd.Index | None:
        """Where they tell all ids apart; None where text has to."""
        found = self._hashed()
        if found is None:
            return None
        index = pd.Index(found)
        if is_one_piece(self.stored):  # is_unique makes the table that get_indexer uses later
            return index if index.is_unique else None
        return index if _all_differ(found.copy()) else None

    def _hashed(self) -> NDArray[np.uint64] | None:
        """A hash of each id; None of what is no bytes, or may be the same text in other bytes."""
        if self.stored.dtype.kind != "S" or not len(self):
            return None
        found = np.empty(len(self), np.uint64)
        for piece, values in read_pieces(self.stored):
            if not are_ascii(values):
                return None  # different bytes may be the same text, once in UTF-8, once in Latin-1
            found[piece] = hashes(values)
        return found


def _all_differ(numbers: NDArray[np.uint64]) -> bool:
    """Whether none comes twice; they are sorted, which takes less memory than a table."""
    numbers.sort(kind="stable")  # on AMD's processors in half the time of numpy's other way
    return not np.any(numbers[1:] == numbers[:-1])


def _proposal(name: str, ids: pd.Index) -> str:
    # difflib is slow: of a million ids only those that start alike are compared.
    start = name[:3].lower()
    near = [i for i in ids[:200_000] if i[:3].lower() == start][:2000] or list(ids[:2000])
    close = difflib.get_close_matches(name, near, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"The file has {listed(ids[:1000], 3)}."
