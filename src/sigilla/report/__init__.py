"""Self-contained pages, and the tables behind them, from one data set or a batch of many."""

from __future__ import annotations

from sigilla.report._pcl import pcl_correlation
from sigilla.report._reports import Reports

__all__ = ["Reports", "pcl_correlation"]
