"""Pages that are not written twice: the API, the methods, the results of the benchmarks."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAMESPACES = ("io", "datasets", "pp", "tl", "get", "pl", "metrics", "models", "report")

_API = """\
{title}
{line}

{doc}

.. currentmodule:: sigilla.{namespace}

.. autosummary::
   :toctree: {namespace}
   :nosignatures:

   {names}
"""


def write(root: Path, out: Path) -> None:
    """Write the API pages, and the fragments that other pages include."""
    (out / "api").mkdir(parents=True, exist_ok=True)
    for name in NAMESPACES:
        (out / "api" / f"{name}.rst").write_text(api_page(name))
    (out / "methods.md").write_text(methods_table())
    results = root / "benchmarks" / "results"
    (out / "benchmarks.md").write_text(benchmark_results(results))
    for figure in results.glob("*.png"):
        shutil.copy(figure, out)


def api_page(namespace: str) -> str:
    """A page with a table of the public names, each with a page of its own."""
    module = importlib.import_module(f"sigilla.{namespace}")

    def documented(name: str) -> bool:
        return callable(getattr(module, name))

    title = f"sg.{namespace}"
    return _API.format(
        title=title,
        line="=" * len(title),
        doc=inspect.getdoc(module),
        namespace=namespace,
        names="\n   ".join(sorted(filter(documented, module.__all__), key=str.lower)),
    )


def methods_table() -> str:
    """The registry as a table."""
    from sigilla.models import METHODS

    rows = ["| call | method | needs classes | code book | paper |", "|---|---|---|---|---|"]
    for name, method in METHODS.items():
        first = inspect.cleandoc(method.__doc__ or "").partition("\n")[0]
        rows.append(
            f"| {{py:func}}`sigilla.tl.{name}` | **{method.title}**: {first} "
            f"| {_yes(method.uses_labels)} | {_yes(method.has_codes)} | {method.paper} |"
        )
    return "\n".join(rows) + "\n"


def benchmark_results(folder: Path) -> str:
    """Every table in ``benchmarks/results``, one after the other."""
    texts = [path.read_text().strip() for path in sorted(folder.glob("*.md"))]
    texts = [re.sub(r"\]\(([\w-]+\.png)\)", r"](generated/\1)", text) for text in texts]
    # The page has the one first-level heading: those of the results go a level down.
    lowered = ["\n".join(_lower(line) for line in text.splitlines()) for text in texts]
    return "\n\n".join(lowered or ["No results are stored in `benchmarks/results` yet."]) + "\n"


def _lower(line: str) -> str:
    return f"#{line}" if line.startswith("#") else line


def _yes(flag: object) -> str:
    return "yes" if flag else ""
