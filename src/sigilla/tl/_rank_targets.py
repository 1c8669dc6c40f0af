"""Drug -> target: how soon the knock-down of its target turns up among a drug's neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import DataError, listed, unknown_name
from sigilla.tl._neighbours import Metric, read_neighbours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

_NO_DRUG = "no signature of the drug"
_NO_KNOCKDOWN = "no knock-down of a target"


def rank_targets(
    drugs: AnnData,
    knockdowns: AnnData,
    *,
    targets: Mapping[str, Sequence[str]],
    drug_key: str = "pert_iname",
    gene_key: str = "pert_iname",
    metric: Metric = "correlation",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    per_signature: bool = False,
) -> pd.DataFrame:
    """Rank of the first known target among the knock-downs nearest to each drug.

    Every knock-down signature is ordered by its distance from a drug's signature; the rank, from 0,
    is that of the first one that knocks down a known target of the drug. The lower, the more the
    representation knows of mechanisms.

    Parameters
    ----------
    drugs, knockdowns
        Signatures x genes of compounds and of genetic perturbations. Without ``use_rep`` the genes
        that both have are compared.
    targets
        The genes that each drug acts on: ``{"bortezomib": ["PSMB1", "PSMB5"], ...}``.
    drug_key
        Column of ``drugs.obs`` with the names that ``targets`` uses.
    gene_key
        Column of ``knockdowns.obs`` with the gene that is knocked down.
    metric, use_rep, layer, mask_var
        As in :func:`sigilla.tl.retrieve`; ``mask_var`` is of ``knockdowns.var``.
    per_signature
        Return one row per signature of a drug in place of one per drug.

    Returns
    -------
    A DataFrame, one row per drug of ``targets``, best first:

    ``drug``, ``n_signatures``, ``n_knockdowns``
        Its signatures, and the knock-down signatures of its targets.
    ``mean_rank``, ``median_rank``, ``best_rank``
        Over its signatures.
    ``expected_rank``
        Mean rank if knock-downs came in random order, ``(N - m) / (m + 1)`` with m of N that hit.
    ``missing``
        Why there is no rank, else empty.

    Or, one row per signature: ``drug``, ``signature``, ``rank``, ``target`` (of the knock-down
    found) and ``distance``.

    Raises
    ------
    KeyError, ValueError
        A column, representation or option that is not there or cannot be.
    DataError
        No drug of ``targets`` has both a signature and a knock-down; no gene in common; NaN values.

    References
    ----------
    Xue, Ding & Lu (2020), npj Syst Biol Appl 6:35 (doi 10.1038/s41540-020-00158-2). Pabon et al.
    (2018), Predicting protein targets for drug-like compounds using transcriptomics, PLoS Comput
    Biol 14:e1006651.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, sigilla as sg
    >>> x = np.array([[3.0, 0, -2, 1], [0, 3, 1, -2], [-1, -1, 3, 0]], dtype="float32")
    >>> names = pd.DataFrame({"pert_iname": ["PSMB5", "MTOR", "TUBB"]}, index=["kd1", "kd2", "kd3"])
    >>> drug = pd.DataFrame({"pert_iname": ["bortezomib"]}, index=["sig"])
    >>> sg.tl.rank_targets(
    ...     ad.AnnData(x[:1] + x[1:2] / 3, drug),
    ...     ad.AnnData(x, names),
    ...     targets={"bortezomib": ["PSMB5"], "aspirin": ["PTGS2"]},
    ... )[["drug", "mean_rank", "expected_rank", "missing"]].to_numpy().tolist()
    [['bortezomib', 0.0, 1.0, ''], ['aspirin', nan, nan, 'no signature of the drug']]
    """
    for argument, key, adata in (
        ("drug_key", drug_key, drugs),
        ("gene_key", gene_key, knockdowns),
    ):
        if key not in adata.obs:
            raise KeyError(unknown_name(argument, key, adata.obs.columns))
    names = drugs.obs[drug_key].astype(object).to_numpy()
    genes = knockdowns.obs[gene_key].astype(object).to_numpy()
    hits = {drug: np.isin(genes, list(wanted)) for drug, wanted in targets.items()}
    ranked = np.array([name in hits and bool(hits[name].any()) for name in names], dtype=bool)
    if not ranked.any():
        raise DataError(
            f"no drug of targets has both a signature and a knock-down: targets names"
            f" {listed(targets, 4)}, drugs.obs[{drug_key!r}] {listed(pd.unique(names), 4)},"
            f" knockdowns.obs[{gene_key!r}] {listed(pd.unique(genes), 4)}"
        )
    chosen = np.flatnonzero(ranked)
    spaces = read_neighbours(
        drugs[chosen],
        knockdowns,
        metric,
        use_rep=use_rep,
        layer=layer,
        mask_var=mask_var,
        called=("drugs", "knockdowns"),
    )
    rank = np.empty(len(chosen), dtype=np.intp)
    first = np.empty(len(chosen), dtype=np.intp)
    for rows, block in spaces.blocks():
        for drug in pd.unique(names[chosen[rows]]):
            mine = np.flatnonzero(names[chosen[rows]] == drug)
            hit = np.flatnonzero(hits[drug])
            part = block[mine]
            nearest = hit[part[:, hit].argmin(axis=1)]
            best = part[np.arange(len(mine)), nearest]
            rank[rows.start + mine] = (part < best[:, None]).sum(axis=1)
            first[rows.start + mine] = nearest
    found = pd.DataFrame(
        {
            "drug": names[chosen],
            "signature": drugs.obs_names[chosen].to_numpy(),
            "rank": rank,
            "target": genes[first],
            "distance": spaces.exact(np.arange(len(chosen)), first[:, None])[:, 0],
        }
    )
    return found if per_signature else _per_drug(found, names, hits)


def _per_drug(
    found: pd.DataFrame, names: NDArray[np.object_], hits: dict[str, NDArray[np.bool_]]
) -> pd.DataFrame:
    rank = found.groupby("drug")["rank"]
    summary = pd.DataFrame({"drug": list(hits)})
    summary["n_signatures"] = [int((names == drug).sum()) for drug in hits]
    summary["n_knockdowns"] = [int(hit.sum()) for hit in hits.values()]
    for measure in ("mean", "median", "min"):
        column = "best_rank" if measure == "min" else f"{measure}_rank"
        summary[column] = summary["drug"].map(rank.agg(measure)).astype(float)
    n, m = len(next(iter(hits.values()))), summary["n_knockdowns"]
    summary["expected_rank"] = ((n - m) / (m + 1)).where(summary["mean_rank"].notna())
    summary["missing"] = ""
    summary.loc[m == 0, "missing"] = _NO_KNOCKDOWN
    summary.loc[summary["n_signatures"] == 0, "missing"] = _NO_DRUG
    return summary.sort_values("mean_rank", kind="stable", ignore_index=True)
