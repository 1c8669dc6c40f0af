"""Ids of signatures and genes: unique in a file, and found in the order asked for."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pandas as pd

from sigilla.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def positions(
    argument: str, asked: Iterable[object] | None, ids: pd.Index, path: Path
) -> NDArray[np.intp] | None:
    """Where the ids asked for are among ``ids``; None where all are wanted."""
    if asked is None:
        return None
    names = [asked] if isinstance(asked, str) else [str(item) for item in asked]
    wanted = pd.Index(names, dtype=object)
    if not wanted.is_unique:
        repeated = wanted[wanted.duplicated()].unique()
        raise DataError(f"{argument} names {listed(repeated)} more than once; ask once for each.")
    found: NDArray[np.intp] = ids.get_indexer(wanted)
    unknown = wanted[found < 0]
    if len(unknown):
        raise DataError(
            f"{argument}: {len(unknown)} of {len(wanted)} ids are not in {path.name}: "
            f"{listed(unknown, 5)}. {_proposal(str(unknown[0]), ids)}"
        )
    return found


def _proposal(name: str, ids: pd.Index) -> str:
    # difflib is slow: of a million ids only those that start alike are compared.
    start = name[:3].lower()
    near = [i for i in ids[:200_000] if i[:3].lower() == start][:2000] or list(ids[:2000])
    close = difflib.get_close_matches(name, near, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"The file has {listed(ids[:1000], 3)}."


def check_unique(path: Path, ids: pd.Index, axis: str) -> None:
    """Raise a DataError that names the ids which a file holds more than once."""
    if not ids.is_unique:
        repeated = ids[ids.duplicated()].unique()
        raise DataError(
            f"path={str(path)!r} has {len(repeated)} {axis} ids more than once: "
            f"{listed(repeated)}. Ids must be unique; write the file again with unique ones."
        )
