from __future__ import annotations

import pytest

import sigilla as sg

HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd()",
    "mTOR/PI3K inhibitor",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}",
    "x" * 200,
    "ビタミンD受容体",
    "$x_{$",
]


@pytest.fixture(scope="session")
def simulated():
    """Eight hostile class names, twelve signatures each, and some without a class."""
    return sg.datasets.simulate_lincs(
        classes=HOSTILE,
        class_sizes=[12] * len(HOSTILE),
        n_genes=25,
        n_unlabelled=6,
        noise=0.3,
        random_state=0,
    )


@pytest.fixture(scope="session")
def fitted(simulated):
    return sg.tl.svqvae(simulated, max_epochs=4, copy=True)
