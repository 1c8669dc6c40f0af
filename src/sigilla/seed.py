"""Random numbers per call: no function of sigilla touches a global generator."""

from __future__ import annotations

import numpy as np


def generator(random_state: int | np.random.Generator | None = 0) -> np.random.Generator:
    """A NumPy generator for one call; the same seed gives the same stream.

    Examples
    --------
    >>> bool(generator(0).random() == generator(0).random())
    True
    """
    return np.random.default_rng(random_state)
