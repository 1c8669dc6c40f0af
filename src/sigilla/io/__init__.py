"""Files to and from AnnData: GCTX, GCT, GMT, LINCS releases, text matrices, single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigilla.io._cmappy import read_gmt
from sigilla.io._gct import read_gct, write_gct
from sigilla.io._gctx import read_gctx
from sigilla.io._gctx_write import write_gctx
from sigilla.io._lincs import read_lincs

if TYPE_CHECKING:
    from sigilla.io._lazy import disk_matrix

__all__ = [
    "disk_matrix",
    "read_gct",
    "read_gctx",
    "read_gmt",
    "read_lincs",
    "write_gct",
    "write_gctx",
]


def __getattr__(name: str) -> Any:
    if name == "disk_matrix":  # its module needs dask, which most sessions do without
        from sigilla.io._lazy import disk_matrix

        return disk_matrix
    raise AttributeError(f"module 'sigilla.io' has no attribute {name!r}")
