"""The influential-feature step: which genes carry the clusters, judged without labels."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla import keys
from sigilla.pp._cluster import cluster_scores, corner, is_on_cluster
from sigilla.pp._ks import ks_scores
from sigilla.pp._selection import Selection, check_options, select_by_score
from sigilla.pp._strips import choose_genes, choose_matrix, holds_whole_numbers, strips
from sigilla.target import target_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.pp._selection import NullName


def influential_features(
    adata: AnnData,
    *,
    null: NullName = "table",
    fraction: float = 1.0,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
    key_added: str = "influential",
    copy: bool = False,
) -> AnnData | None:
    """Mark the genes whose distribution over the samples betrays a hidden class.

    Each gene is standardised and scored by the Kolmogorov-Smirnov distance of its distribution
    from the normal. The scores are brought to the mean and spread of those of normal genes (Efron's
    empirical null), turned into p-values, and thresholded by Higher Criticism. Nothing is to be
    tuned. Where Higher Criticism finds no evidence that any gene is influential, at most 5 % are
    kept (the papers' rule may keep up to half, in pure noise too).

    The step is for values that are roughly normal within a class, such as log expression; of
    single cells, filter genes and take the logarithm first, else the zeros make every gene
    non-normal.

    The first call with 4,096 samples or more spends some seconds compiling, once for each type of
    numbers; the machine code is kept for later processes where possible.

    Parameters
    ----------
    adata
        Samples x genes; at least 3 samples. Dense, sparse, backed and dask matrices give the same
        result; zeros of a sparse matrix stay implicit.
    null
        Where the distribution of a normal gene's score comes from. ``"table"``: a table shipped
        with the package, nothing is drawn, equal data give equal results in any order of the
        samples. ``"simulate"``: 100 normal genes per gene drawn anew, as published.
    fraction
        Match only this smallest fraction of the scores to the null. Below 1 for data with many
        influential genes: the papers take 0.5 for such a set.
    layer
        Matrix to use in place of ``X``.
    mask_var
        Genes to consider: a boolean column of ``var``, or a mask. Others are never influential.
    n_jobs
        Threads; ``None`` is every available core. The result does not depend on it.
    random_state
        Seed of ``null="simulate"``.
    key_added
        Replaces ``"influential"`` in the names below, and ``if`` in ``if_score`` and ``if_pvalue``.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields:

    ``var['influential']``
        Whether the gene is influential.
    ``var['if_score']``
        Kolmogorov-Smirnov score, ``sqrt(n) sup |F_n - Phi|``; NaN if constant or masked.
    ``var['if_pvalue']``
        P-value after the empirical-null correction; NaN where the score is.
    ``uns['influential']``
        ``threshold``, the largest p-value kept; ``higher_criticism``, the functional over the
        genes in the order of their p-values; ``significant``, whether it rejects that all genes
        are normal; ``n_selected``; ``params``.

    Raises
    ------
    DataError
        Fewer than 3 samples, NaN or infinite values, or no gene that varies.
    KeyError, ValueError
        A layer or column that is not there; an option out of its range.

    Warns
    -----
    UserWarning
        If the values are whole numbers, as of counts.

    References
    ----------
    Jin & Wang (2016), Influential features PCA for high dimensional clustering, Ann. Statist.
    44(6):2323-2359. Donoho & Jin (2004), Higher criticism for detecting sparse heterogeneous
    mixtures, Ann. Statist. 32(3):962-994. Efron (2004), Large-scale simultaneous hypothesis
    testing: the choice of a null hypothesis, JASA 99:96-104.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_rare_weak(n_obs=100, n_vars=1000, strength=2.0)
    >>> sg.pp.influential_features(adata)
    >>> found = adata.var["influential"]
    >>> bool(adata.var.loc[found, "influential_true"].mean() > 0.9)
    True
    """
    genes = choose_genes(adata, mask_var)
    selection = score_and_select(
        choose_matrix(adata, layer),
        genes=genes,
        null=null,
        fraction=fraction,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    params: dict[str, Any] = {"null": null, "fraction": fraction}
    if layer is not None:
        params["layer"] = layer
    if isinstance(mask_var, str):
        params["mask_var"] = mask_var
    if null == "simulate" and random_state is not None:
        params["random_state"] = random_state
    target = target_of(adata, copy=copy)
    store_selection(target, selection, genes, key=key_added, params=params)
    return target if copy else None


def score_and_select(
    matrix: Any,
    *,
    genes: NDArray[np.bool_] | None = None,
    null: NullName = "table",
    fraction: float = 1.0,
    random_state: int | None = 0,
    n_jobs: int | None = None,
) -> Selection:
    """The whole step on a samples x genes matrix of any kind, over the genes of a mask."""
    n, p = matrix.shape
    check_options(n, null, fraction)
    genes = np.ones(p, dtype=bool) if genes is None else genes
    scores: list[NDArray[np.float64]] = []
    if is_on_cluster(matrix):
        warn_of_counts(corner(matrix))
        scores.append(cluster_scores(matrix, genes))
    else:
        for strip in strips(matrix, genes):
            if not scores:
                warn_of_counts(strip)
            scores.append(ks_scores(strip, n_jobs=n_jobs))
    return select_by_score(
        np.concatenate(scores),
        n,
        null=null,
        fraction=fraction,
        random_state=random_state,
        n_jobs=n_jobs,
    )


def warn_of_counts(strip: Any) -> None:
    """Say what to do if the values are whole numbers."""
    if holds_whole_numbers(strip):
        warnings.warn(
            "the values are whole numbers, as of counts, but this method takes every gene for"
            " normal within a class; normalise and take the logarithm first (sg.pp.single_cell for"
            " cells), or name the matrix that has them by layer=...",
            UserWarning,
            stacklevel=_frames_of_ours(),
        )


def _frames_of_ours() -> int:
    """How many callers up, seen from the caller, stands the line that is not sigilla's."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("sigilla."):
        level, frame = level + 1, frame.f_back
    return level


def store_selection(
    adata: AnnData,
    selection: Selection,
    genes: NDArray[np.bool_],
    *,
    key: str,
    params: dict[str, Any],
) -> None:
    """Write a selection among the genes of a mask into ``adata``."""

    def spread(values: NDArray[Any], elsewhere: object) -> NDArray[Any]:
        column = np.full(adata.n_vars, elsewhere, dtype=values.dtype)
        column[genes] = values
        return column

    adata.var[key] = spread(selection.selected, elsewhere=False)
    adata.var[keys.if_score(key)] = spread(selection.scores, elsewhere=np.nan)
    adata.var[keys.if_pvalue(key)] = spread(selection.pvalues, elsewhere=np.nan)
    adata.uns[key] = {
        "threshold": selection.threshold,
        "higher_criticism": selection.higher_criticism,
        "significant": selection.significant,
        "n_selected": int(selection.selected.sum()),
        "params": params,
    }
