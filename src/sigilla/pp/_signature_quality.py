"""How far a perturbagen's replicates can be trusted: correlation, strength, activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla import keys
from sigilla.metrics import signature_strength, transcriptional_activity
from sigilla.pp._replicates import check_options, consensus, group_codes
from sigilla.pp._strips import choose_genes, choose_matrix
from sigilla.target import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.pp._replicates import Consensus, Correlation

# The 2017 release's distil_ss: this many genes at each end.
_EXTREMES = 100


def signature_quality(
    adata: AnnData,
    groupby: str | Sequence[str],
    *,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    metric: Correlation = "spearman",
    min_weight: float = 0.01,
    decimals: int | None = 4,
    key_added: str = "signature_quality",
    copy: bool = False,
) -> AnnData | None:
    """Replicate correlation, signature strength and activity of each group of replicates.

    The measures of a group are those of its consensus signature (:func:`sigilla.pp.modz` gives them
    with the signatures) and are written to each of its replicates, so that weak perturbagens can be
    left out by ``adata[adata.obs["tas"] > 0.2]``.

    Parameters
    ----------
    adata
        Replicates x genes, z-scores. Dense, sparse, backed or dask.
    groupby, layer, mask_var, metric, min_weight, decimals
        As in :func:`sigilla.pp.modz`.
    key_added
        Puts itself before the names below: ``"lm"`` gives ``lm_tas``.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields, under the names that the releases use:

    ``obs['nsample']``
        Replicates in the group; 0 for an observation in none.
    ``obs['cc_q75']``
        75th percentile of the correlations between them; NaN for one alone.
    ``obs['ss_ngene']``
        Signature strength: genes with ``|z| sqrt(n) >= 2`` in the consensus of n replicates, NaN in
        no group.
    ``obs['distil_ss']``
        The strength of the 2017 releases: mean of the consensus' 100 largest values less that of
        its 100 smallest (of half the genes at most).
    ``obs['tas']``
        Transcriptional activity score, ``sqrt(ss_ngene max(cc_q75, 0) / genes)``, 0 to 1.
    ``obs['replicate_weight']``
        The replicate's own share in the consensus.

    Raises
    ------
    KeyError, ValueError
        A column, layer or option that is not there or cannot be.
    DataError
        NaN or infinite values, or no group.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, sigilla as sg
    >>> obs = pd.DataFrame({"drug": list("aaabb")}, index=list("vwxyz"))
    >>> z = np.array([[2, -2, 0, 1], [3, -3, 0, 1], [-2, 2, 1, 0], [1, 2, 3, 4], [2, 4, 6, 8.0]])
    >>> adata = ad.AnnData(z, obs)
    >>> sg.pp.signature_quality(adata, "drug")
    >>> adata.obs["tas"].round(2).tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0]
    """
    check_options(metric, min_weight)
    genes = choose_genes(adata, mask_var)
    matrix = choose_matrix(adata, layer)
    codes, _ = group_codes(adata, groupby)
    found = consensus(matrix, codes, genes, metric=metric, min_weight=min_weight, decimals=decimals)
    target = target_of(adata, copy=copy)
    grouped = codes >= 0
    for name, values in measures(found, genes).items():
        missing = 0 if name == "nsample" else np.nan
        target.obs[keys.quality(key_added, name)] = np.where(grouped, values[codes], missing)
    target.obs[keys.quality(key_added, "replicate_weight")] = found.weights
    return target if copy else None


def measures(found: Consensus, genes: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The measures of each group over the genes of a mask, under their column names."""
    z = found.x[:, genes]
    strength = signature_strength(z, found.sizes)
    n_extreme = max(1, min(_EXTREMES, z.shape[1] // 2))
    ordered = np.sort(z, axis=1)
    return {
        "nsample": found.sizes,
        "cc_q75": found.cc_q75,
        "ss_ngene": strength,
        "distil_ss": ordered[:, -n_extreme:].mean(axis=1) - ordered[:, :n_extreme].mean(axis=1),
        "tas": transcriptional_activity(strength, found.cc_q75, n_genes=z.shape[1]),
    }
