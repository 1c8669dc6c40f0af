"""Whether generated signatures of a class are what its real signatures are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.batches import read_labels
from sigilla.errors import DataError, listed, unknown_name
from sigilla.labels import as_text
from sigilla.tl._neighbours import Metric, Neighbours, read_neighbours

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]


def judge_generated(
    generated: AnnData,
    adata: AnnData,
    *,
    label_key: str = "pcl",
    held_out: AnnData | None = None,
    metric: Metric = "correlation",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Compare generated signatures with real ones, by their nearest real neighbours.

    A generated signature should have its nearest real neighbour in the class that was asked for as
    often as a real signature has, and at about the same distance: much nearer is a copy of what the
    model has seen, much farther is off the data. And signatures of a class should differ from one
    another as much as real ones do.

    Parameters
    ----------
    generated
        Signatures x genes, such as :func:`sigilla.tl.generate` gives, with the class that was asked
        for in ``obs[label_key]``.
    adata
        Real signatures x genes; those without a class are left out.
    label_key
        Column of both ``obs`` with the class.
    held_out
        Real signatures that the model has not seen, which are then what generated ones compare
        with. ``None`` leaves each signature of ``adata`` out in turn.
    metric, use_rep, layer, mask_var
        As in :func:`sigilla.tl.retrieve`; ``mask_var`` is of ``adata.var``.

    Returns
    -------
    A DataFrame, one row per class of ``generated``, and ``"all"`` with the means over classes:

    ``n_generated``, ``n_real``
        Signatures generated, and real ones that they compare with.
    ``own``, ``own_real``, ``own_chance``
        Share whose nearest real neighbour is of their class: of generated signatures, of real ones
        (the ceiling), and for shuffled labels (the floor).
    ``distance``, ``distance_real``
        Median distance from the nearest real neighbour.
    ``spread``, ``spread_real``
        Mean distance between two signatures of the class; NaN for a single one.

    Raises
    ------
    KeyError, ValueError
        A column, representation or option that is not there or cannot be.
    DataError
        A class of ``generated`` that ``adata`` (or ``held_out``) does not have; no gene in common;
        NaN values.

    References
    ----------
    Xue, Ding & Lu 2020, npj Syst Biol Appl 6:35 (doi 10.1038/s41540-020-00158-2).

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=50, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> found = sg.tl.judge_generated(sg.tl.generate(adata, n=50), adata)
    >>> found["n_generated"].tolist()
    [50, 50, 50, 150]
    >>> bool((found["own"] > found["own_chance"]).all())
    True
    """
    classes, asked = _asked(generated, label_key)
    reference, known = _labelled(adata, "adata", label_key, classes)
    if held_out is None:
        others, own = reference, known
    else:
        others, own = _labelled(held_out, "held_out", label_key, classes)

    def spaces(query: AnnData, argument: str) -> Neighbours:
        return read_neighbours(
            query,
            reference,
            metric,
            use_rep=use_rep,
            layer=layer,
            mask_var=mask_var,
            called=(argument, "adata"),
        )

    new = spaces(generated, "generated")
    old = spaces(others, "adata" if held_out is None else "held_out")
    found = _nearest(new, leave_out=False)
    found_real = _nearest(old, leave_out=held_out is None)
    rows = []
    for k, name in enumerate(classes):
        mine, theirs = np.flatnonzero(asked == k), np.flatnonzero(own == k)
        rows.append(
            {
                "class": name,
                "n_generated": len(mine),
                "n_real": len(theirs),
                "own": (known[found[0][mine]] == k).mean(),
                "own_real": (known[found_real[0][theirs]] == k).mean(),
                "own_chance": (known == k).mean(),
                "distance": np.median(found[1][mine]),
                "distance_real": np.median(found_real[1][theirs]),
                "spread": _spread(new, mine),
                "spread_real": _spread(old, theirs),
            }
        )
    table = pd.DataFrame(rows).set_index("class")
    total = table.mean()
    total[["n_generated", "n_real"]] = table[["n_generated", "n_real"]].sum()
    table.loc["all"] = total
    return table.astype({"n_generated": int, "n_real": int}).reset_index()


def _asked(generated: AnnData, label_key: str) -> tuple[tuple[str, ...], Indices]:
    """The classes of the generated signatures, and that of each."""
    if label_key not in generated.obs:
        message = unknown_name("label_key", label_key, generated.obs.columns)
        raise KeyError(f"{message} (columns of generated.obs)")
    column = as_text(generated.obs[label_key])
    if column.isna().any():
        raise DataError(
            f"generated.obs[{label_key!r}] has no class for {int(column.isna().sum())} of"
            f" {len(column)} signatures; say which was asked for, or leave them out"
        )
    classes = tuple(str(name) for name in column.unique())
    return classes, pd.Index(classes).get_indexer(column)


def _labelled(
    adata: AnnData, argument: str, label_key: str, classes: tuple[str, ...]
) -> tuple[AnnData, Indices]:
    """The signatures with a class, and its place in ``classes`` (-1: another one)."""
    labels = read_labels(adata, label_key, called=argument)
    missing = [name for name in classes if name not in labels.classes]
    if missing:
        raise DataError(
            f"{argument}.obs[{label_key!r}] has no signature of {listed(missing)}, which generated"
            f" has; leave them out of generated, or add such signatures to {argument}"
        )
    kept = np.flatnonzero(labels.index >= 0)
    place = pd.Index(classes).get_indexer(pd.Index(labels.classes))
    return adata[kept], place[labels.index[kept]]


def _nearest(spaces: Neighbours, *, leave_out: bool) -> tuple[Indices, Floats]:
    """The nearest reference signature of each query, and how far it is.

    ``leave_out``: query and reference are the same, and none is its own neighbour.
    """
    nearest = np.empty(len(spaces.query), dtype=np.intp)
    distance = np.empty(len(spaces.query))
    for rows, block in spaces.blocks():
        if leave_out:
            here = np.arange(len(block))
            block[here, rows.start + here] = np.inf
        nearest[rows] = block.argmin(axis=1)
        distance[rows] = np.take_along_axis(block, nearest[rows, None], axis=1)[:, 0]
    return nearest, distance


def _spread(spaces: Neighbours, chosen: Indices) -> float:
    """Mean distance between two of the chosen queries."""
    if len(chosen) < 2:
        return np.nan
    among = Neighbours(spaces.query[chosen], spaces.query[chosen], spaces.metric)
    total = sum(float(block.sum(dtype=np.float64)) for _, block in among.blocks())
    return total / (len(chosen) * (len(chosen) - 1))
