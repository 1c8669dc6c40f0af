"""Tasks on a few threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Task = Callable[[], None]

MAX_WORKERS = 8


def workers() -> int:
    """How many threads a read may use: the processors that this process may run on, at most 8."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not offered outside Linux
        available = os.cpu_count() or 1
    return min(available, MAX_WORKERS)


def run_all(tasks: Iterable[Task], beside: Iterable[Task] = ()) -> None:
    """Run all tasks on a few threads, as they come; the first failure is raised here.

    One thread begins with those of ``beside``: tasks that need Python to themselves, of which two
    at a time would wait for each other. Whoever runs out of its own goes on with the rest.
    """
    own, others = iter(tasks), iter(beside)
    lock, stopped = Lock(), False

    def work(*queues: Iterable[Task]) -> None:
        nonlocal stopped
        try:
            while not stopped:
                with lock:
                    task = next(itertools.chain(*queues), None)
                if task is None:
                    return
                task()
        except BaseException:
            stopped = True
            raise

    with ThreadPoolExecutor(workers()) as pool:
        ends = [pool.submit(work, others, own)]
        ends += [pool.submit(work, own, others) for _ in range(workers() - 1)]
        for end in ends:
            end.result()
