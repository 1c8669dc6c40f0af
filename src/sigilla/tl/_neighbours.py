"""Distances between the signatures of two AnnData, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sigilla.batches import read_observations
from sigilla.errors import DataError, unknown_name
from sigilla.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

Metric = Literal["correlation", "cosine", "euclidean"]
# Distances held at a time.
_BLOCK_VALUES = 2**24
# A smaller share of the reference's genes than this is worth a warning.
_OVERLAP = 0.8


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Two sets of signatures in one space, scaled so that a matrix product gives the distances."""

    query: NDArray[np.float32]
    reference: NDArray[np.float32]
    metric: Metric

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Some queries at a time, and their distances to every reference signature."""
        step = max(1, _BLOCK_VALUES // len(self.reference))
        size = np.square(self.reference).sum(axis=1) if self.metric == "euclidean" else None
        for start in range(0, len(self.query), step):
            rows = slice(start, start + step)
            product = self.query[rows] @ self.reference.T
            if size is None:
                yield rows, 1 - product
            else:
                own = np.square(self.query[rows]).sum(axis=1)
                squared = own[:, None] + size - 2 * product
                yield rows, np.sqrt(np.maximum(squared, 0))

    def exact(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances of queries (one per row) to some references each, without the rounding."""
        near = self.reference[columns].astype(np.float64)
        own = self.query[rows].astype(np.float64)[:, None]
        if self.metric == "euclidean":
            return np.sqrt(np.square(near - own).sum(axis=2))
        return np.clip(1 - (near * own).sum(axis=2), 0, 2)


def read_neighbours(
    query: AnnData,
    reference: AnnData,
    metric: Metric,
    *,
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    called: tuple[str, str] = ("query", "reference"),
) -> Neighbours:
    """Both sides in the representation named, or over the genes that both have.

    ``called`` holds the names of the two arguments in messages.
    """
    if metric not in get_args(Metric):
        raise ValueError(unknown_name("metric", metric, get_args(Metric)))
    theirs = read_observations(
        reference, use_rep=use_rep, layer=layer, mask_var=mask_var, called=called[1]
    )
    ours = read_observations(query, use_rep=use_rep, layer=layer, called=called[0])
    if use_rep is None:
        here, there = common_genes(ours.names, theirs.names, called)
        x, y = ours.x[:, here], theirs.x[:, there]
    else:
        x, y = ours.x, theirs.x
        if x.shape[1] != y.shape[1]:
            raise DataError(
                f"use_rep={use_rep!r} has {x.shape[1]} dimensions in {called[0]} and"
                f" {y.shape[1]} in {called[1]}; both must come from one model, see sg.tl.map_query"
            )
    if metric == "euclidean":
        centre = y.mean(axis=0)  # distances stay; their rounding is least around 0
        return Neighbours(x - centre, y - centre, metric)
    return Neighbours(_unit(x, metric), _unit(y, metric), metric)


def common_genes(
    query: tuple[str, ...],
    reference: tuple[str, ...],
    called: tuple[str, str] = ("query", "reference"),
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the genes that both have stand in each, in the order of the reference."""
    for argument, names in zip(called, (query, reference), strict=True):
        if len(set(names)) < len(names):
            raise DataError(
                f"{argument}.var_names are not unique, so genes cannot be matched;"
                f" call {argument}.var_names_make_unique() or leave the repeats out"
            )
    place = {name: i for i, name in enumerate(query)}
    there = np.array([i for i, name in enumerate(reference) if name in place], dtype=np.intp)
    if not len(there):
        raise DataError(
            f"{called[0]} and {called[1]} have no gene in common: {query[0]!r}, ... against"
            f" {reference[0]!r}, ...; give both the same kind of var_names"
        )
    if len(there) < _OVERLAP * len(reference):
        logger.warning(
            "%s has %d of the %d genes of %s", called[0], len(there), len(reference), called[1]
        )
    return np.array([place[reference[i]] for i in there], dtype=np.intp), there


def _unit(x: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    if metric == "correlation":
        x = x - x.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
