"""Random numbers per call: no function of sigilla touches a global generator."""

from __future__ import annotations

import numpy as np

_NO_SEED = "random_state={!r} must be a whole number from 0 to 4294967295"


def generator(random_state: int | np.random.Generator | None = 0) -> np.random.Generator:
    """A NumPy generator for one call; the same seed gives the same stream.

    Examples
    --------
    >>> bool(generator(0).random() == generator(0).random())
    True
    """
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise ValueError(_NO_SEED.format(random_state)) from None


def checked_seed(random_state: int) -> int:
    """A seed that every library takes, or the message that says what one is.

    Examples
    --------
    >>> checked_seed(3)
    3
    """
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if not whole or not 0 <= random_state < 2**32:
        raise ValueError(_NO_SEED.format(random_state))
    return int(random_state)
