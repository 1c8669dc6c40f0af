"""False discovery rates where some tests have no p-value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control

if TYPE_CHECKING:
    from numpy.typing import NDArray


def false_discovery_rate(pvalues: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini & Hochberg over all p-values that are not NaN; NaN stays."""
    known = ~np.isnan(pvalues)
    fdr = np.full(pvalues.shape, np.nan)
    if known.any():
        fdr[known] = false_discovery_control(pvalues[known])
    return fdr
