"""Quality of consensus signatures: how strong they are, and how active that makes a perturbagen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def signature_strength(
    signatures: ArrayLike, n_replicates: ArrayLike, *, threshold: float = 2.0
) -> NDArray[np.intp]:
    """Number of genes that a consensus signature moves.

    A mean of n replicates shrinks the z-scores of noise by ``sqrt(n)``, so the consensus is
    multiplied by it before genes with ``|z| >= threshold`` are counted.

    Parameters
    ----------
    signatures
        Consensus z-scores, signatures x genes; landmark genes in the Connectivity Map.
    n_replicates
        Replicates of each signature, or one number for all.
    threshold
        Smallest size of a z-score that counts.

    Returns
    -------
    Number of genes (``ss_ngene``), one per signature; NaN never counts.

    Raises
    ------
    ValueError
        Shapes that do not fit, or less than one replicate.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> sg.metrics.signature_strength([[1.5, -2.5, 0.1], [1.5, -2.5, 0.1]], [1, 4])
    array([1, 2])
    """
    z = np.asarray(signatures, dtype=np.float64)
    n = np.asarray(n_replicates, dtype=np.float64)
    if z.ndim != 2 or n.shape not in {(), (len(z),)}:
        raise ValueError(
            "signatures must be signatures x genes with one n_replicates each;"
            f" their shapes are {z.shape} and {n.shape}"
        )
    if not (n >= 1).all():
        raise ValueError(f"n_replicates must be 1 or more; the smallest is {n.min()}")
    moved = np.abs(z) * np.sqrt(n).reshape(-1, 1) >= threshold
    counts: NDArray[np.intp] = moved.sum(axis=1)
    return counts


def transcriptional_activity(
    strength: ArrayLike, correlation: ArrayLike, *, n_genes: int
) -> NDArray[np.float64]:
    """Transcriptional activity score (TAS): the geometric mean of strength and reproducibility.

    Parameters
    ----------
    strength
        Number of genes that each signature moves, see :func:`signature_strength`.
    correlation
        75th percentile of the correlations between its replicates; below 0 counts as 0.
    n_genes
        Number of genes that strength was counted in.

    Returns
    -------
    ``sqrt(strength * correlation / n_genes)``, 0 to 1; NaN without a correlation, as of a single
    replicate.

    Raises
    ------
    ValueError
        A strength that is not between 0 and ``n_genes``.

    References
    ----------
    Subramanian et al. (2017), A next generation Connectivity Map, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> sg.metrics.transcriptional_activity([40, 40], [0.9, -0.1], n_genes=100)
    array([0.6, 0. ])
    """
    genes = np.asarray(strength, dtype=np.float64)
    if not ((genes >= 0) & (genes <= n_genes)).all():
        raise ValueError(f"strength must lie between 0 and n_genes={n_genes}")
    share: NDArray[np.float64] = np.clip(np.asarray(correlation, dtype=np.float64), 0, None)
    return np.sqrt(genes * share / n_genes)
