"""Machine code is kept for the next process where it can be, and is made in any case."""

from __future__ import annotations

import subprocess
import sys

from sigilla.pp._compiled import compiled

HALF = """
from sigilla.pp._compiled import compiled

@compiled
def half(x):
    return x / 2
"""
CALL = "from half import half; print(half(3), half.stats.cache_hits.total())"


def test_a_function_is_compiled_once_for_all_processes(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text(HALF)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    command = [sys.executable, "-c", CALL]
    first, second = (
        subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True).stdout
        for _ in range(2)
    )
    assert (first, second) == ("1.5 0\n", "1.5 1\n")


def test_processes_that_compile_for_different_types_at_once_do_not_mix_them_up(tmp_path):
    (tmp_path / "half.py").write_text(HALF)
    call = "from half import half; print(half({}), half.stats.cache_hits.total())"
    values = ["3", "3.0", "3j", "True"]

    def run():
        commands = [[sys.executable, "-c", call.format(value)] for value in values]
        running = [
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
            for command in commands
        ]
        return [process.communicate()[0].split() for process in running]

    halves = [str(eval(value) / 2) for value in values]
    assert run() == [[half, "0"] for half in halves]
    assert run() == [[half, "1"] for half in halves]


def test_what_cannot_be_written_is_compiled_still(tmp_path):
    (tmp_path / "half.py").write_text(HALF)
    full = "import numba.core.caching as c\ndef full(*_): raise OSError(28, 'no space')\n"
    full += "c.IndexDataCacheFile.save = full\n"
    command = [sys.executable, "-c", full + CALL]
    done = subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "1.5 0\n"


def test_compiling_can_be_switched_off(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text(HALF)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    command = [sys.executable, "-c", "from half import half; print(half(3), type(half).__name__)"]
    done = subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "1.5 function\n"


def test_a_function_that_cannot_be_kept_is_compiled_still():
    names = {}
    exec("def half(x): return x / 2", names)  # it comes from no file
    assert compiled(names["half"])(3) == 1.5
