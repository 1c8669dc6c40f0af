"""Metrics: pure functions of arrays."""

from __future__ import annotations

from sigilla.metrics._clustering import clustering_error

__all__ = ["clustering_error"]
