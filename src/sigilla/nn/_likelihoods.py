from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log N(x; mean, exp(log_var)), summed over features: one value per row.

    ``log_var`` broadcasts: one value per feature, or one for all.
    """
    per_feature = log_var + (x - mean).square() * (-log_var).exp()
    return 0.5 * (per_feature + math.log(2 * math.pi)).sum(dim=1)
