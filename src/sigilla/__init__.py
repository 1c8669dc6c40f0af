"""sigilla: gene-expression signatures pressed into discrete codes.

``io`` reads files into AnnData, ``tl`` fits, ``get`` tabulates, ``pl`` draws, ``report`` writes
one page. Sub-packages load on first use, so ``import sigilla`` costs neither torch nor scanpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sigilla.settings import settings

if TYPE_CHECKING:
    from types import ModuleType

    from sigilla import datasets, get, io, metrics, models, pl, pp, report, tl

    __version__: str

__all__ = [
    "__version__",
    "datasets",
    "get",
    "io",
    "metrics",
    "models",
    "pl",
    "pp",
    "report",
    "settings",
    "tl",
]


def __getattr__(name: str) -> ModuleType | str:
    if name == "__version__":  # importlib.metadata takes longer than all else here
        from importlib.metadata import version

        return version("sigilla")
    if name in __all__:
        return importlib.import_module(f"sigilla.{name}")
    msg = f"module 'sigilla' has no attribute {name!r}; it has {', '.join(__all__)}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
