"""Write src/sigilla/tl/__init__.pyi from the registry, so that editors know every option.

``python scripts/stubs.py`` writes it, ``--check`` fails where it is not what would be written.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from sigilla import tl
from sigilla.models import METHODS

STUB = Path(__file__).parents[1] / "src/sigilla/tl/__init__.pyi"
HEAD = """\
# Written by scripts/stubs.py from the registry of methods; do not edit.

from pathlib import Path
from typing import Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

"""


def stub() -> str:
    """The text of the stub: a signature for each verb."""
    by_hand = sorted(set(tl.__all__) - set(METHODS))
    lines = [f"from sigilla.tl._{name} import {name} as {name}\n" for name in by_hand]
    lines.append("\n")
    for name in METHODS:
        lines.append(f"def {name}(\n")
        starred = False
        for p in inspect.signature(getattr(tl, name)).parameters.values():
            if p.kind is p.KEYWORD_ONLY and not starred:
                lines.append("    *,\n")
                starred = True
            kind = p.annotation if isinstance(p.annotation, str) else _name(p.annotation)
            default = "" if p.default is p.empty else f" = {p.default!r}"
            lines.append(f"    {p.name}: {kind}{default},\n")
        lines.append(") -> AnnData | None: ...\n")
    return HEAD + "".join(lines).replace("'", '"')


def _name(annotation: object) -> str:
    plain = isinstance(annotation, type) and not hasattr(annotation, "__args__")
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")


if __name__ == "__main__":
    if "--check" not in sys.argv:
        STUB.write_text(stub())
    elif not STUB.exists() or STUB.read_text() != stub():
        sys.exit(f"{STUB.name} is out of date: run python scripts/stubs.py")
