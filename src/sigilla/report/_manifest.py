"""``piece.json``: what a finished report was made from, its files and its line on the index.

It is written last. A report is finished if its manifest says the same source, and each file has
the content that the manifest says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sigilla.files import replacing
from sigilla.report import _digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NAME = "piece.json"


def write(
    folder: Path, made_from: Mapping[str, Any], files: Iterable[str], row: Mapping[str, Any]
) -> None:
    """Seal a folder whose files are all there."""
    manifest = {
        "made_from": made_from,
        "files": {name: _digest.of_file(folder / name) for name in sorted(files)},
        "row": row,
    }
    with replacing(folder / NAME, argument="out") as part:
        part.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def finished(folder: Path, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The line on the index if the folder holds this report, whole; ``None`` if not."""
    manifest = _read(folder)
    if manifest is None or manifest["made_from"] != json.loads(json.dumps(made_from)):
        return None
    for name, checksum in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _digest.of_file(path) != checksum:
            return None
    return manifest["row"]


def files(folder: Path) -> set[str]:
    """Names of the files that an earlier report left in the folder."""
    manifest = _read(folder)
    return set() if manifest is None else set(manifest["files"])


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if {"made_from", "files", "row"} <= set(manifest) else None
