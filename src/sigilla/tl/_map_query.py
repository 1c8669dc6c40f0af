"""Annotate new signatures with a code book that is already there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from sigilla import get
from sigilla.batches import Observations, read_observations
from sigilla.errors import DataError, listed, unknown_name
from sigilla.logging import logger
from sigilla.models import Model
from sigilla.target import target_of
from sigilla.tl._store import store
from sigilla.train import resolve_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sigilla.train import Rows

_BLOCK = 2**15  # rows that are put in order at a time


def map_query(
    query: AnnData,
    reference: AnnData | Model,
    *,
    key: str = "svqvae",
    layer: str | None = None,
    gene_key: str | None = None,
    min_overlap: float = 0.8,
    key_added: str | None = None,
    device: str = "auto",
    copy: bool = False,
) -> AnnData | None:
    """Annotate signatures with a fitted code book, own or published.

    The query's genes are put in the model's order. A gene that the query lacks takes the value
    that says nothing (the training mean, or 0 for z-scores); how many did is logged and stored.
    Nothing is trained.

    Parameters
    ----------
    query
        Observations x genes, on the scale that the model was trained on (L1000 z-scores for the
        published code book).
    reference
        A fitted AnnData, or a model (:func:`sigilla.datasets.svqvae_lincs_pretrained`,
        :func:`sigilla.models.load`).
    key
        Where a fitted AnnData keeps its model.
    layer
        Matrix of ``query`` to use in place of ``X``.
    gene_key
        Column of ``query.var`` with the model's kind of gene names; default ``var_names``.
    min_overlap
        Smallest share of the model's genes that the query must have, 0 to 1.
    key_added
        Replaces ``key`` in the names below.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    copy
        Return a changed copy and leave ``query`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the fields of the method that was fitted, see
    :func:`sigilla.tl.svqvae`, and ``uns[key]["params"]["missing_genes"]``, their number.

    Raises
    ------
    DataError
        Too few of the model's genes are there; the message names the column of ``var`` that
        matches better where there is one.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> reference, query = adata[::2].copy(), adata[1::2].copy()
    >>> sg.tl.svqvae(reference, max_epochs=2)
    >>> sg.tl.map_query(query, reference)
    >>> query.obsm["svqvae_distances"].shape[1]
    3
    """
    model = model_of(reference, key)
    where = resolve_device(device)
    seen = read_query(query, model, layer=layer, gene_key=gene_key, min_overlap=min_overlap)
    target = target_of(query, copy=copy)
    params = {
        "layer": layer,
        "gene_key": gene_key,
        "missing_genes": int((seen.columns < 0).sum()),
    }
    store(target, key_added or key, model.to(where), seen, params=params)
    return target if copy else None


def model_of(reference: AnnData | Model, key: str) -> Model:
    """The model that a query is to be compared with."""
    if isinstance(reference, Model):
        return reference
    if isinstance(reference, AnnData):
        return get.model(reference, key)
    raise TypeError(
        f"reference={reference!r} is neither a fitted AnnData nor a model; read a file first, "
        "with anndata.read_h5ad or sg.models.load"
    )


def read_query(
    query: AnnData, model: Model, *, layer: str | None, gene_key: str | None, min_overlap: float
) -> Observations:
    """The query's matrix with the model's genes in its order, typical values for missing ones.

    ``columns`` is -1 for a gene that is missing.
    """
    if not 0 <= min_overlap <= 1:
        raise ValueError(f"min_overlap={min_overlap!r} must lie between 0 and 1")
    wanted, found = _match(query, model, gene_key, min_overlap)
    seen = read_observations(query, layer=layer, called="query")
    x = _in_order(seen.x, found, model.typical().cpu().numpy())
    missing = int((found < 0).sum())
    if missing:
        logger.warning(
            "%d of the model's %d genes are missing and count as typical: %s",
            missing,
            len(wanted),
            listed(np.asarray(wanted)[found < 0]),
        )
    return Observations(x, model.var_names, found)


def _in_order(
    rows: NDArray[np.float32] | Rows, found: NDArray[np.intp], typical: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The columns ``found``, -1 for a typical value; as they are where that changes nothing."""
    if isinstance(rows, np.ndarray) and np.array_equal(found, np.arange(rows.shape[1])):
        return rows
    x = np.empty((rows.shape[0], len(found)), dtype=np.float32)
    here = np.flatnonzero(found >= 0)
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        block[:] = typical
        block[:, here] = rows[start : start + _BLOCK][:, found[here]]
    return x


def _match(
    query: AnnData, model: Model, gene_key: str | None, min_overlap: float
) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The model's genes and, for each, its column in the query or -1."""
    if gene_key is not None and gene_key not in query.var:
        raise KeyError(unknown_name("gene_key", gene_key, query.var.columns))
    names = (query.var_names if gene_key is None else query.var[gene_key].astype(str)).to_numpy()
    position = {name: i for i, name in reversed(list(enumerate(names)))}
    twice = {n for n in pd.Index(names)[pd.Index(names).duplicated()] if n in set(model.var_names)}
    if twice:
        where = "var_names" if gene_key is None else f"var[{gene_key!r}]"
        raise DataError(
            f"query: {len(twice)} of the model's genes stand more than once in "
            f"{where}: {listed(sorted(twice))}; "
            "keep one column of each"
        )
    found = np.array([position.get(name, -1) for name in model.var_names])
    overlap = float((found >= 0).mean())
    if overlap < min_overlap:
        wanted = set(model.var_names)
        share = {c: len(wanted & set(v.astype(str))) / len(wanted) for c, v in query.var.items()}
        better = max(share, key=lambda c: share[c], default=None)
        if better is not None and share[better] > overlap:
            hint = f"var[{better!r}] has {share[better]:.0%}: pass gene_key={better!r}"
        elif overlap:
            hint = f"it lacks {listed(np.array(model.var_names)[found < 0])}"
        else:
            hint = (
                f"the model's genes are named like {listed(model.var_names, 3)}, the query's like "
                f"{listed(names, 3)}: add a column of such names to var and pass it as gene_key"
            )
        raise DataError(
            f"the query has {overlap:.0%} of the model's {len(found)} genes, below "
            f"min_overlap={min_overlap:.0%}; {hint}"
        )
    return model.var_names, found
