"""Connectivity of queries with reference signatures, as the Connectivity Map scores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.batches import read_observations
from sigilla.errors import require_count, unknown_name
from sigilla.metrics import (
    connectivity_tau,
    enrichment_score,
    normalized_connectivity,
    summarize_connectivity,
)
from sigilla.metrics._connectivity import combine_halves
from sigilla.tl._query_sets import query_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.tl._query_sets import Query, QuerySets

    Floats = NDArray[np.float64]


_NO_WEIGHT = "the signature is 0 in all genes of the query"
_NO_GROUP = "the signature has no label in normalize_by"
_NO_BACKGROUND = "no query of the background has a score"
_NO_SIGNATURE = "none of the signatures has a score"


@dataclass(frozen=True, slots=True)
class _Scores:
    """Signatures x queries."""

    es_up: Floats
    es_down: Floats
    wtcs: Floats
    ncs: Floats


def connectivity(
    query: Query,
    reference: AnnData,
    *,
    n_genes: int = 50,
    min_genes: int = 10,
    weight: float = 1.0,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    normalize_by: str | Sequence[str] | None = None,
    background: Query | None = None,
    summarize_by: str | None = None,
) -> pd.DataFrame:
    """Connectivity scores of queries with reference signatures.

    A query is a set of up- and a set of down-regulated genes. Its weighted connectivity (WTCS) with
    a signature is positive where the signature moves them alike, negative where it reverses them.
    It is normalised within cell line and type of perturbagen (NCS), set against a background of
    other queries (tau), and summarised over the cell lines of a perturbagen by the maximum
    quantile.

    Parameters
    ----------
    query
        ``{"name": {"up": [genes], "down": [genes]}, ...}``, where one of the two may be left out;
        or signatures x genes, of which the most positive and the most negative genes are taken.
    reference
        Signatures x genes, z-scores; ``var_names`` are the genes of the query.
    n_genes
        Genes of each half where ``query`` is an AnnData.
    min_genes
        Genes that a half must share with the reference, else its query has no score.
    weight
        Exponent of the reference's values in the enrichment score.
    layer
        Matrix to use in place of ``X``, of ``query`` and ``background`` too.
    mask_var
        Genes of the reference to rank: a boolean column of ``reference.var``, or a mask.
    normalize_by
        Columns of ``reference.obs`` within which scores are normalised; ``None``: ``"cell_id"`` and
        ``"pert_type"``, those that are there. ``()`` takes all signatures together.
    background
        Queries for tau, as ``query``; the Connectivity Map takes thousands of its own signatures.
    summarize_by
        Column of ``reference.obs``, such as ``"pert_iname"`` (or a class): one score for each of
        its values in place of one for each signature.

    Returns
    -------
    A DataFrame, for each query in the order of the reference:

    ``query``, ``signature``
        Names; with ``summarize_by`` that column in place of ``signature``, its values sorted.
    ``es_up``, ``es_down``, ``wtcs``
        Enrichment of the halves and weighted connectivity, -1 to 1. WTCS is 0 where the halves have
        the same sign. Not with ``summarize_by``, which has ``n_signatures`` (with a score) instead.
    ``ncs``
        Normalised connectivity: 1 is as strong as the mean of its sign.
    ``tau``
        -100 to 100; with ``background`` only.
    ``missing``
        What makes a value of the row missing, else empty.

    Raises
    ------
    KeyError, ValueError, TypeError
        A column or option that is not there or cannot be; a query that is not up and down.
    DataError
        No gene in common, too few genes for ``n_genes``, NaN or infinite values.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=60, random_state=0)
    >>> scores = sg.tl.connectivity(adata[:2], adata, n_genes=10)
    >>> own = scores[scores["query"] == scores["signature"]]
    >>> own["wtcs"].round(6).tolist()
    [1.0, 1.0]
    >>> genes = {"up": list(adata.var_names[:12]), "down": list(adata.var_names[-12:])}
    >>> sg.tl.connectivity({"mine": genes}, adata, summarize_by="pcl").columns.tolist()
    ['query', 'pcl', 'n_signatures', 'ncs', 'missing']
    """
    groups = _normalization(reference, normalize_by)
    if summarize_by is not None and summarize_by not in reference.obs:
        raise KeyError(unknown_name("summarize_by", summarize_by, reference.obs.columns))
    require_count("n_genes", n_genes)
    require_count("min_genes", min_genes)
    seen = read_observations(reference, layer=layer, mask_var=mask_var)
    sets = query_sets("query", query, seen, n_genes, min_genes, layer)
    others = None
    if background is not None:
        others = query_sets("background", background, seen, n_genes, min_genes, layer)

    scores = _score(seen.x, sets, groups, weight)
    against = None if others is None else _score(seen.x, others, groups, weight).ncs
    if summarize_by is None:
        return _per_signature(reference, sets, scores, against)
    return _per_group(reference.obs[summarize_by], sets, scores, against)


def _score(
    x: NDArray[np.float32], sets: QuerySets, groups: NDArray[np.object_], weight: float
) -> _Scores:
    es = enrichment_score(x, np.concatenate([sets.up, sets.down]), weight=weight)
    es_up, es_down = np.split(es, 2, axis=1)
    has_up, has_down = (np.any(half, axis=1, keepdims=True).T for half in (sets.up, sets.down))
    wtcs = combine_halves(es_up, es_down, has_up=has_up, has_down=has_down)
    return _Scores(es_up, es_down, wtcs, normalized_connectivity(wtcs, groups))


def _per_signature(
    reference: AnnData, sets: QuerySets, scores: _Scores, against: Floats | None
) -> pd.DataFrame:
    n, q = scores.wtcs.shape
    missing = np.full((n, q), "", dtype=object)
    columns = {"es_up": scores.es_up, "es_down": scores.es_down, "wtcs": scores.wtcs}
    columns["ncs"] = scores.ncs
    if against is not None:
        columns["tau"] = connectivity_tau(scores.ncs, against)
        missing[np.isnan(columns["tau"])] = _NO_BACKGROUND
    missing[np.isnan(scores.ncs)] = _NO_GROUP
    missing[np.isnan(scores.wtcs)] = _NO_WEIGHT
    missing[:, sets.missing != ""] = sets.missing[sets.missing != ""]
    return pd.DataFrame(
        {
            "query": np.repeat(sets.names, n),
            "signature": np.tile(reference.obs_names.to_numpy(), q),
            **{name: values.T.ravel() for name, values in columns.items()},
            "missing": missing.T.ravel(),
        }
    )


def _per_group(
    labels: pd.Series, sets: QuerySets, scores: _Scores, against: Floats | None
) -> pd.DataFrame:
    names, ncs = summarize_connectivity(scores.ncs, labels)
    n, q = ncs.shape
    counts = pd.DataFrame(~np.isnan(scores.ncs)).groupby(labels.astype(object).to_numpy()).sum()
    missing = np.full((n, q), "", dtype=object)
    columns = {"n_signatures": counts.loc[list(names)].to_numpy(), "ncs": ncs}
    if against is not None:
        columns["tau"] = connectivity_tau(ncs, summarize_connectivity(against, labels)[1])
        missing[np.isnan(columns["tau"])] = _NO_BACKGROUND
    missing[np.isnan(ncs)] = _NO_SIGNATURE
    missing[:, sets.missing != ""] = sets.missing[sets.missing != ""]
    return pd.DataFrame(
        {
            "query": np.repeat(sets.names, n),
            str(labels.name): np.tile(names, q),
            **{name: values.T.ravel() for name, values in columns.items()},
            "missing": missing.T.ravel(),
        }
    )


def _normalization(
    reference: AnnData, normalize_by: str | Sequence[str] | None
) -> NDArray[np.object_]:
    """One label per signature, ``None`` where a column has none."""
    if normalize_by is None:
        columns = [name for name in ("cell_id", "pert_type") if name in reference.obs]
    else:
        columns = [normalize_by] if isinstance(normalize_by, str) else list(normalize_by)
    for column in columns:
        if column not in reference.obs:
            raise KeyError(unknown_name("normalize_by", column, reference.obs.columns))
    labels = np.full(reference.n_obs, None, dtype=object)
    if not columns:
        labels[:] = "all"
        return labels
    number = reference.obs.groupby(columns, observed=True).ngroup().to_numpy()
    labelled = reference.obs[columns].notna().all(axis=1).to_numpy()
    labels[labelled] = number[labelled]
    return labels
