"""Seeds are whole numbers that every library takes, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

import sigilla as sg
from sigilla.seed import checked_seed, generator


def test_a_generator_comes_from_a_seed_or_is_one():
    assert generator(3).random() == np.random.default_rng(3).random()
    mine = np.random.default_rng(0)
    assert generator(mine) is mine


@pytest.mark.parametrize("seed", [-1, "a", 1.5])
def test_what_is_no_seed_is_named(seed):
    with pytest.raises(ValueError, match=f"random_state={seed!r} must be a whole number"):
        generator(seed)
    with pytest.raises(ValueError, match=f"random_state={seed!r} must be a whole number"):
        checked_seed(seed)
    with pytest.raises(ValueError, match=f"random_state={seed!r} must be a whole number"):
        sg.datasets.simulate_lincs(n_classes=3, n_genes=5, random_state=seed)


def test_the_bounds_are_those_of_every_library():
    assert checked_seed(np.int64(2**32 - 1)) == 2**32 - 1
    with pytest.raises(ValueError, match="random_state=4294967296"):
        checked_seed(2**32)
