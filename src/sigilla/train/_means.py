from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sigilla.train import _processes

if TYPE_CHECKING:
    from torch import Tensor

    from sigilla.models import Loss


class Means:
    """Running means of an epoch's terms, kept on the device until the epoch is over."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, ...], Tensor] = {}
        self.finite: dict[tuple[str, ...], Tensor] = {}
        self.rows: dict[tuple[str, ...], int] = {}

    def add(self, loss: Loss, rows: int) -> None:
        values = {"loss": loss.total} | loss.terms | loss.metrics
        names = tuple(values)
        with torch.no_grad():
            row = torch.stack(list(values.values()))
        if names not in self.sums:
            self.sums[names], self.finite[names] = torch.zeros_like(row), torch.zeros_like(row)
            self.rows[names] = 0
        self.sums[names].add_(row, alpha=rows)
        self.finite[names] += row.isfinite()
        self.rows[names] += rows

    def values(self) -> dict[str, float]:
        """The means over all processes, by name; the one wait of the epoch."""
        return {
            name: value / rows
            for names, sums in self.sums.items()
            for *values, rows in [
                _processes.added(torch.cat([sums, sums.new_tensor([self.rows[names]])])).tolist()
            ]
            for name, value in zip(names, values, strict=True)
        }

    def first_broken(self) -> str:
        """The term that was finite for the fewest steps: it broke the others."""
        steps = {
            name: count
            for names, finite in self.finite.items()
            for name, count in zip(names, _processes.added(finite).tolist(), strict=True)
            if name != "loss"
        }
        return min(steps, key=steps.__getitem__)
