"""One self-contained page, and the tables behind it, from a fitted or unfitted data set."""

from __future__ import annotations

from sigilla.report._pcl import pcl_correlation

__all__ = ["pcl_correlation"]
