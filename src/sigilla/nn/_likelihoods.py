from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

if TYPE_CHECKING:
    from torch import Tensor

# A difference, its square and their gradients are one kernel each in torch's mse_loss, where
# written out they are seven passes over the data: half of the time between two matrix products.


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference over features: one value per row."""
    # Not .mean(dim=1): its gradient is a full matrix, that of a sum a view of one column.
    return F.mse_loss(a, b, reduction="none").sum(dim=1) / a.shape[1]


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log N(x; mean, exp(log_var)), summed over features: one value per row.

    ``log_var`` has one value per feature, or one for all.
    """
    squares = F.mse_loss(mean, x, reduction="none")
    weighted = (squares * (-log_var).exp()).sum(dim=1)
    log_det = log_var.expand(x.shape[1]).sum()
    return 0.5 * (weighted + log_det + x.shape[1] * math.log(2 * math.pi))
