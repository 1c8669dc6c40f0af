"""Files to and from AnnData: GCTX, GCT, GMT, LINCS releases, text matrices, single cells."""

from __future__ import annotations

from sigilla.io._cmappy import read_gmt
from sigilla.io._gct import read_gct, write_gct
from sigilla.io._gctx import read_gctx
from sigilla.io._gctx_write import write_gctx
from sigilla.io._lazy import disk_matrix
from sigilla.io._lincs import read_lincs
from sigilla.io._single_cell import read_single_cell
from sigilla.io._table import read_table

__all__ = [
    "disk_matrix",
    "read_gct",
    "read_gctx",
    "read_gmt",
    "read_lincs",
    "read_single_cell",
    "read_table",
    "write_gct",
    "write_gctx",
]
