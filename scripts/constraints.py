"""Write constraints.txt: the exact versions that README and CI install, from this environment.

``python scripts/constraints.py`` in an environment that has what pyproject.toml declares, with
its extras. The local part of a version (``2.13.0+cpu``) is left out, so that the
pin fits every build of it.
"""

from __future__ import annotations

import importlib.metadata as installed
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
HEAD = """\
# Exact versions that README and CI install; written by scripts/constraints.py, do not edit.
# torch is pinned so that pip takes the build this file was made with, not a newer, larger one.
"""


def declared() -> list[Requirement]:
    """What README and CI ask for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = [
        *project["dependencies"],
        *(n for e in sorted(set(extras) - {"dev"}) for n in extras[e]),
    ]
    return [Requirement(name) for name in names]


def closure(waiting: list[Requirement]) -> dict[str, str]:
    """Every distribution that is needed here, with its version."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            found[name] = installed.version(name).partition("+")[0]
            needs = map(Requirement, installed.requires(name) or ())
            waiting += [n for n in needs if n.marker is None or n.marker.evaluate({"extra": extra})]
    return found


if __name__ == "__main__":
    pins = sorted(closure(declared()).items())
    (ROOT / "constraints.txt").write_text(
        HEAD + "".join(f"{name}=={version}\n" for name, version in pins)
    )
