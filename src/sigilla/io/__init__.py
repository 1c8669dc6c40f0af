"""Files to and from AnnData: GCTX, GCT, GMT, LINCS releases, text matrices, single cells."""

from __future__ import annotations

from sigilla.io._gctx import read_gctx
from sigilla.io._gctx_write import write_gctx

__all__ = ["read_gctx", "write_gctx"]
