"""Queries of the Connectivity Map: up- and down-regulated genes, given or of signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData

from sigilla.batches import read_observations
from sigilla.errors import DataError, listed
from sigilla.tl._neighbours import common_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sigilla.batches import Observations

    Masks = NDArray[np.bool_]

Query: TypeAlias = "AnnData | Mapping[str, Mapping[str, Sequence[str]]]"


@dataclass(frozen=True, slots=True)
class QuerySets:
    """Queries as masks (queries x genes of the reference), and why one cannot be scored ("")."""

    names: NDArray[np.object_]
    up: Masks
    down: Masks
    missing: NDArray[np.object_]


def query_sets(
    argument: str, query: Query, seen: Observations, n_genes: int, min_genes: int, layer: str | None
) -> QuerySets:
    """The queries of a mapping, or the extreme genes of signatures, over the reference's genes."""
    if isinstance(query, AnnData):
        return _of_signatures(argument, query, seen, n_genes, layer)
    if isinstance(query, Mapping) and query:
        return _by_name(argument, query, seen, min_genes)
    raise TypeError(
        f"{argument} must be an AnnData or a mapping of names to"
        f' {{"up": genes, "down": genes}}; it is {type(query).__name__}'
        + (" and empty" if isinstance(query, Mapping) else "")
    )


def _of_signatures(
    argument: str, query: AnnData, seen: Observations, n_genes: int, layer: str | None
) -> QuerySets:
    theirs = read_observations(query, layer=layer)
    here, there = common_genes(theirs.names, seen.names)
    if 2 * n_genes > len(here):
        raise DataError(
            f"n_genes={n_genes} up and as many down are more than the {len(here)} genes that"
            f" {argument} and reference have in common; make it smaller"
        )
    order = np.argsort(-theirs.x[:, here], axis=1, kind="stable")
    up, down = np.zeros((2, query.n_obs, len(seen.names)), dtype=bool)
    np.put_along_axis(up, there[order[:, :n_genes]], values=True, axis=1)
    np.put_along_axis(down, there[order[:, -n_genes:]], values=True, axis=1)
    return QuerySets(
        query.obs_names.to_numpy(dtype=object), up, down, np.full(query.n_obs, "", dtype=object)
    )


def _by_name(
    argument: str,
    query: Mapping[str, Mapping[str, Sequence[str]]],
    seen: Observations,
    min_genes: int,
) -> QuerySets:
    genes = pd.Index(seen.names)
    masks = {half: np.zeros((len(query), len(genes)), dtype=bool) for half in ("up", "down")}
    missing = np.full(len(query), "", dtype=object)
    for row, (name, halves) in enumerate(query.items()):
        if not isinstance(halves, Mapping) or not halves or set(halves) - {"up", "down"}:
            shown = listed(halves) if isinstance(halves, Mapping) else type(halves).__name__
            raise TypeError(
                f'{argument}[{name!r}] must be {{"up": genes, "down": genes}}; it has {shown}'
            )
        if any(isinstance(wanted, str) for wanted in halves.values()):
            raise TypeError(f"{argument}[{name!r}] has a string where a list of genes should be")
        both = set(halves.get("up", ())) & set(halves.get("down", ()))
        if both:
            raise ValueError(f"{argument}[{name!r}] has {listed(sorted(both))} both up and down")
        given = {half: list(wanted) for half, wanted in halves.items() if len(wanted)}
        if not given:
            missing[row] = "the query has no genes"
        for half, wanted in given.items():
            found = genes.isin(wanted)
            if found.sum() < min_genes:
                missing[row] = (
                    f"{found.sum()} of the query's {len(wanted)} {half} genes are in the reference,"
                    f" fewer than min_genes={min_genes}"
                )
            masks[half][row] = found
    if (missing != "").all():
        raise DataError(
            f"no query of {argument} can be scored: {missing[0]}; the reference has"
            f" {listed(seen.names, 3)}"
        )
    for mask in masks.values():
        mask[missing != ""] = False
    return QuerySets(np.array(list(query), dtype=object), masks["up"], masks["down"], missing)
