"""Tasks are done once each, and the failure of one ends all, whichever thread has it."""

import threading
import time

import numpy as np
import pytest

from sigilla.io._tasks import run_all


@pytest.fixture(params=[1, 2, 5])
def threads(monkeypatch, request):
    monkeypatch.setattr("sigilla.io._tasks.workers", lambda: request.param)
    return request.param


def test_every_task_is_done_once(threads):
    done = []
    tasks = [lambda i=i: done.append(i) for i in range(60)]
    run_all(tasks[:30], beside=tasks[30:])
    assert sorted(done) == list(range(60))


@pytest.mark.parametrize("where", ["calling", "other"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_ends_all_and_is_raised(monkeypatch, where, error):
    monkeypatch.setattr("sigilla.io._tasks.workers", lambda: 2)
    calling, done = threading.current_thread(), []

    def task():
        time.sleep(0.001)  # so that both threads have some
        if (threading.current_thread() is calling) == (where == "calling"):
            raise error("broken")
        done.append(1)

    before = threading.active_count()
    with pytest.raises(error, match="broken"):
        run_all([task] * 1000)
    assert len(done) < 999
    assert threading.active_count() == before


def test_other_threads_take_the_callers_view_of_floating_point_errors(monkeypatch):
    monkeypatch.setattr("sigilla.io._tasks.workers", lambda: 2)
    calling, seen = threading.current_thread(), []

    def task():
        time.sleep(0.001)  # so that both threads have some
        if threading.current_thread() is not calling:
            seen.append(np.geterr()["over"])

    for view in ("ignore", "raise"):
        with np.errstate(over=view):
            run_all([task] * 20)
        assert seen
        assert set(seen) == {view}
        seen.clear()
