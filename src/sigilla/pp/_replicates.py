"""Groups of replicates, and the consensus of each: what modz and signature_quality share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata

from sigilla.errors import DataError, unknown_name
from sigilla.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Correlation = Literal["spearman", "pearson"]
# Values of the replicates that are worked on at a time.
_BLOCK_VALUES = 2**24
# Rounded weights may add up to this much more or less than 1 before it is worth a warning.
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Consensus:
    """Consensus signatures (groups x genes), and how they came about.

    ``codes`` is each observation's group, -1 for none; ``weights`` its share in the consensus, NaN
    for none; ``cc_q75`` each group's 75th percentile of replicate correlations, NaN for one alone.
    """

    codes: NDArray[np.intp]
    sizes: NDArray[np.intp]
    x: Floats
    weights: Floats
    cc_q75: Floats


def group_codes(adata: AnnData, groupby: str | Sequence[str]) -> tuple[NDArray[np.intp], list[str]]:
    """Each observation's group, numbered in sorted order (-1: a label is missing), and columns."""
    columns = [groupby] if isinstance(groupby, str) else list(groupby)
    if not columns:
        raise ValueError("groupby names no column of obs")
    for column in columns:
        if column not in adata.obs:
            raise KeyError(unknown_name("groupby", column, adata.obs.columns))
    numbers = adata.obs.groupby(columns, observed=True, sort=True, dropna=True).ngroup()
    codes = numbers.fillna(-1).to_numpy(dtype=np.intp)
    missing = int((codes < 0).sum())
    if missing == len(codes):
        raise DataError(f"groupby={groupby!r} gives no group: a label is missing everywhere")
    if missing:
        logger.warning("%d observations are in no group of groupby=%r", missing, groupby)
    return codes, columns


def consensus(
    matrix: Any,
    codes: NDArray[np.intp],
    genes: NDArray[np.bool_],
    *,
    metric: Correlation,
    min_weight: float,
    decimals: int | None,
) -> Consensus:
    """The moderated z of every group; groups of one size are worked on together."""
    sizes = np.bincount(codes[codes >= 0])
    x = np.empty((len(sizes), matrix.shape[1]))
    weights = np.full(len(codes), np.nan)
    cc_q75 = np.full(len(sizes), np.nan)
    off = 0
    for members, rows in _same_size(codes, sizes, matrix.shape[1]):
        values = read_rows(matrix, rows.ravel()).reshape(*rows.shape, -1)
        if rows.shape[1] == 1:
            x[members], weights[rows] = values[:, 0], 1.0
            continue
        correlations = replicate_correlations(values[:, :, genes], metric)
        shares = replicate_weights(correlations, min_weight, decimals)
        off += int((np.abs(shares.sum(axis=1) - 1) > _ROUNDING).sum())
        x[members] = np.einsum("gr,grp->gp", shares, values)
        weights[rows] = shares
        upper = correlations[:, *np.triu_indices(rows.shape[1], k=1)]
        cc_q75[members] = np.quantile(upper, 0.75, axis=1)
    if off:
        logger.warning(
            "the weights of %d groups, rounded to %d decimals as cmapPy does, are more than 1 %%"
            " away from adding up to 1: the groups are large; decimals=None does not round",
            off,
            decimals,
        )
    return Consensus(codes, sizes, x, weights, cc_q75)


def check_options(metric: str, min_weight: float) -> None:
    """Refuse options that cannot be."""
    if metric not in get_args(Correlation):
        raise ValueError(unknown_name("metric", metric, get_args(Correlation)))
    if not 0 < min_weight <= 1:
        raise ValueError(f"min_weight={min_weight!r} must be above 0 and at most 1")


def _same_size(
    codes: NDArray[np.intp], sizes: NDArray[np.intp], n_genes: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Groups of one size, some at a time: their numbers, and their rows (groups x replicates)."""
    order = np.argsort(codes, kind="stable")[(codes < 0).sum() :]
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        groups = np.flatnonzero(sizes == size)
        step = max(1, _BLOCK_VALUES // (int(size) * n_genes))
        for at in range(0, len(groups), step):
            members = groups[at : at + step]
            yield members, order[starts[members][:, None] + np.arange(size)]


def read_rows(matrix: Any, rows: NDArray[np.intp]) -> Floats:
    """Rows in any order of a matrix of any kind, dense; NaN and infinity are refused."""
    order = np.argsort(rows)  # matrices on disk want increasing rows
    block = matrix[rows[order]]
    if hasattr(block, "compute"):
        block = block.compute()
    if sparse.issparse(block):
        block = block.toarray()
    values = np.empty(block.shape)
    values[order] = block
    if not np.isfinite(values).all():
        raise DataError(
            f"the matrix has NaN or infinite values ({int((~np.isfinite(values)).sum())} among the"
            f" first {len(rows)} observations looked at); leave those genes or observations out"
        )
    return values


def replicate_correlations(values: Floats, metric: Correlation) -> Floats:
    """Groups x replicates x replicates; 0 with a replicate whose genes are all equal."""
    if metric == "spearman":
        values = rankdata(values, axis=2)
    centred = values - values.mean(axis=2, keepdims=True)
    norm = np.sqrt(np.square(centred).sum(axis=2, keepdims=True))
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)
    return np.clip(unit @ unit.transpose(0, 2, 1), -1, 1)


def replicate_weights(correlations: Floats, min_weight: float, decimals: int | None) -> Floats:
    """Groups x replicates: mean correlation with the others, negative ones as 0, of sum 1."""
    n = correlations.shape[1]
    others = np.clip(correlations, 0, None) * (1 - np.eye(n))
    raw = np.clip(others.sum(axis=2) / (n - 1), min_weight, None)
    weights = raw / raw.sum(axis=1, keepdims=True)
    return weights if decimals is None else np.round(weights, decimals)


def constant_columns(obs: pd.DataFrame, codes: NDArray[np.intp]) -> pd.DataFrame:
    """One row per group: the columns of ``obs`` that have one value, or none, in each group."""
    kept = codes >= 0
    obs, codes = obs[kept], codes[kept]
    first = np.unique(codes, return_index=True)[1]
    same = []
    for column in obs:
        values = pd.factorize(obs[column])[0]
        if (values == values[first][codes]).all():
            same.append(column)
    return obs[same].iloc[first]
