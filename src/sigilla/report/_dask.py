"""Pieces side by side on dask.distributed: processes of this machine, or a scheduler's workers."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from sigilla.errors import DataError, FileError
from sigilla.logging import logger
from sigilla.report._make import make

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client, Future, as_completed

    from sigilla.report._pieces import Piece

PATIENCE = "10s"  # for a scheduler to answer
_SILENT = logging.CRITICAL + 1
# Ctrl-C reaches every process of a terminal; this one alone answers it, and ends the others.
_PRELOAD = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
# One at a time in a process: pyplot and torch's threads belong to the process.
_alone = threading.Lock()
Told = list[tuple[int, str]]


def side_by_side(
    waiting: Sequence[Piece], n_workers: int, scheduler: str | None
) -> Iterator[tuple[Piece, dict[str, Any] | Exception]]:
    """Each piece with its line on the index or its error, as they come."""
    from distributed import as_completed

    with _connected(scheduler, n_workers) as client:
        # No more at once than workers: one that dies takes nobody's piece but its own.
        todo = iter(waiting)
        running = as_completed(loop=client.loop)
        pending: dict[Future, Piece] = {}
        for piece in islice(todo, _capacity(client)):
            pending[_submitted(client, piece, running)] = piece
        for future in running:
            piece = pending.pop(future)
            result = _result(future, piece)
            for following in islice(todo, 1):
                pending[_submitted(client, following, running)] = following
            yield piece, result


def _submitted(client: Client, piece: Piece, running: as_completed) -> Future:
    with warnings.catch_warnings():
        # An AnnData in memory has to travel; files are read where the work is done.
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        future = client.submit(_make_on_worker, piece.portable(), pure=False)
    running.add(future)
    return future


def _result(future: Future, piece: Piece) -> dict[str, Any] | Exception:
    from distributed import KilledWorker

    if future.status == "cancelled":
        return DataError("cancelled by the scheduler")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return DataError("the process that made it died: killed, or out of memory")
    if error is not None:
        return error
    row, told = future.result()
    for level, message in told:
        logger.log(level, "%s: %s", piece.name, message)
    return row


def _make_on_worker(piece: Piece) -> tuple[dict[str, Any], Told]:
    """In a worker: the line on the index, and what the log said."""
    import matplotlib as mpl
    import torch

    with _alone, _heard() as told:
        mpl.use("Agg")
        torch.set_num_threads(1)
        return make(piece, progress=False), told


@contextmanager
def _heard() -> Iterator[Told]:
    """Warnings of sigilla's log, to be told where the user is."""
    told: Told = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((record.levelno, record.getMessage()))

    listener = Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield told
    finally:
        logger.removeHandler(listener)


# -- where the work is done -------------------------------------------------------------------


@contextmanager
def _connected(scheduler: str | None, n_workers: int) -> Iterator[Client]:
    from distributed import Client

    if scheduler is None:
        with _local(n_workers) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise FileError(f"scheduler={scheduler!r} does not answer: {error}") from error
    with client:
        if not client.nthreads():
            raise FileError(f"scheduler={scheduler!r} has no workers; start some: dask worker")
        yield client


@contextmanager
def _local(n_workers: int) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    # A piece that killed its process is not tried again; nothing is logged but by sigilla.
    settings = {"distributed.scheduler.allowed-failures": 0, "logging": {"distributed": "critical"}}
    with (
        dask.config.set(settings),
        _no_main_module(),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            silence_logs=_SILENT,
            preload=[_PRELOAD],
            # Two jobs on one machine shall not quarrel about a port.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Worker processes do not import the user's script, which may lack a ``__main__`` guard."""
    main = sys.modules["__main__"]
    kept = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    for name in kept:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


def _capacity(client: Client) -> int:
    return max(1, sum(client.nthreads().values()))
