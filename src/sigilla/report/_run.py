"""Pieces one after the other, or side by side on dask: those that fail do not stop the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from sigilla.logging import logger
from sigilla.report import _manifest
from sigilla.report._make import make
from sigilla.report._pieces import attempt
from sigilla.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sigilla.report._pieces import Piece

Result = dict[str, Any] | Exception


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece; ``row`` is its line on the index."""

    name: str
    status: Literal["made", "kept", "skipped", "failed"]
    folder: Path | None = None
    reason: str = ""
    row: Mapping[str, Any] | None = None
    error: Exception | None = None

    @property
    def page(self) -> Path | None:
        """The report, where there is one."""
        there = self.folder is not None and self.status in {"made", "kept"}
        return self.folder / "report.html" if there else None


def run(
    pieces: Sequence[Piece], *, n_jobs: int | None, scheduler: str | None, progress: bool | None
) -> list[Outcome]:
    """The outcome of each piece, in their order; finished ones are kept as they are."""
    outcomes = {piece.folder: _without_work(piece) for piece in pieces}
    waiting = [piece for piece in pieces if outcomes[piece.folder] is None]
    workers = _n_workers(n_jobs, len(pieces))
    if not waiting:
        results: Iterator[tuple[Piece, Result]] = iter(())
    elif scheduler is None and workers == 1:
        bars = progress if len(pieces) == 1 else False
        results = _one_by_one(waiting, progress=bars)
    else:
        from sigilla.report._dask import side_by_side

        results = side_by_side(waiting, workers, scheduler)
    if len(pieces) > 1:
        results = _counted(results, len(waiting), progress)
    for piece, result in results:
        outcomes[piece.folder] = outcome = _outcome(piece, result)
        logger.info("%s: %s", piece.name, outcome.status)
    return [found for found in outcomes.values() if found is not None]


def describe(error: Exception) -> str:
    """An error in one line; its kind is named where the message alone may say nothing."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = " ".join(str(said).split())
    own = isinstance(error, ValueError | KeyError | OSError)
    return text if own and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def _without_work(piece: Piece) -> Outcome | None:
    if piece.error is not None:
        return _failed(piece, piece.error)
    if piece.skip:
        return Outcome(piece.name, "skipped", reason=piece.skip)
    row = _manifest.finished(piece.folder, piece.made_from())
    return None if row is None else Outcome(piece.name, "kept", piece.folder, row=row)


def _outcome(piece: Piece, result: Result) -> Outcome:
    if isinstance(result, Exception):
        return _failed(piece, result)
    return Outcome(piece.name, "made", piece.folder, row=result)


def _failed(piece: Piece, error: Exception) -> Outcome:
    return Outcome(piece.name, "failed", reason=describe(error), error=error)


def _one_by_one(
    waiting: Sequence[Piece], *, progress: bool | None
) -> Iterator[tuple[Piece, Result]]:
    for piece in waiting:
        yield piece, attempt(partial(make, piece, progress=progress))


def _counted(
    results: Iterator[tuple[Piece, Result]], total: int, progress: bool | None
) -> Iterator[tuple[Piece, Result]]:
    if not settings.shows_progress(progress):
        return results
    from tqdm import tqdm

    return iter(tqdm(results, total=total, desc="reports", unit="report"))


def _n_workers(n_jobs: int | None, n_pieces: int) -> int:
    if n_jobs is not None:
        return min(n_jobs, n_pieces)
    from dask.system import CPU_COUNT

    return min(CPU_COUNT, n_pieces)
