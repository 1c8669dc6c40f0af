from __future__ import annotations

import numpy as np
import pytest
from tests.tl.test_fit import run, signatures

import sigilla as sg


@pytest.fixture
def fitted():
    adata = signatures()
    run("vqvae", adata, max_epochs=150, patience=150)
    return adata


def test_without_spread_every_sample_is_its_prototype(fitted):
    new = sg.tl.generate(fitted, ["1", "0"], n=4, key="vqvae", spread=0)
    prototypes = sg.get.prototypes(fitted, "vqvae")
    assert new.obs["vqvae"].tolist() == ["1"] * 4 + ["0"] * 4
    np.testing.assert_allclose(new.X[0], prototypes["1"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(new.X[-1], prototypes["0"], rtol=1e-4, atol=1e-4)


def test_samples_of_a_class_map_back_to_it(fitted):
    new = sg.tl.generate(fitted, n=50, key="vqvae")
    truth = new.obs["vqvae"].astype(str).to_numpy()
    sg.tl.map_query(new, fitted, key="vqvae")
    assert (new.obs["vqvae"].astype(str).to_numpy() == truth).mean() > 0.9


def test_what_cannot_be_sampled_is_said(fitted):
    with pytest.raises(KeyError, match="classes='9' not found"):
        sg.tl.generate(fitted, "9", key="vqvae")
    with pytest.raises(ValueError, match="n=0 must be at least 1"):
        sg.tl.generate(fitted, n=0, key="vqvae")
    run("vae", fitted)
    with pytest.raises(ValueError, match="a VAE, which has no codes"):
        sg.tl.generate(fitted, key="vae")
