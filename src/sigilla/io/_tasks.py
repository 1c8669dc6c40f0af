"""Tasks on a few threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
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
    """Run all tasks on this and a few threads, as they come; a failure ends all and is raised here.

    One thread begins with those of ``beside``, and one more ends with them: tasks that need Python
    to themselves half of the time, for which more threads would only wait.
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

    orders = [(others, own), (own, others), *[(own,)] * MAX_WORKERS][: workers()]
    with ThreadPoolExecutor(len(orders)) as pool:
        try:
            # All with this thread's own state, as numpy's of floating-point errors is.
            ends = [pool.submit(copy_context().run, work, *order) for order in orders[1:]]
            work(*orders[0])  # here too: what comes later may have the memory that it lets go of
            for end in ends:
                end.result()
        finally:
            stopped = True  # the others too, where this thread is interrupted
