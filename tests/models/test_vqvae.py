from __future__ import annotations

import numpy as np
import pytest
import torch

from sigilla.metrics import clustering_error
from sigilla.models import VQVAE
from sigilla.nn import squared_distances, straight_through
from sigilla.train import fit


def test_squared_distances_are_those_of_scipy():
    from scipy.spatial.distance import cdist

    z, codes = torch.randn(9, 4), torch.randn(5, 4)
    np.testing.assert_allclose(
        squared_distances(z, codes), cdist(z, codes, "sqeuclidean"), rtol=1e-4, atol=1e-5
    )


def test_straight_through_shows_the_code_and_passes_the_gradient_on():
    z, code = torch.randn(3, 2, requires_grad=True), torch.randn(3, 2)
    out = straight_through(z, code)
    torch.testing.assert_close(out, code)
    out.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_tight_blobs_get_a_code_each():
    rng = np.random.default_rng(0)
    label = np.arange(300) % 5
    x = (rng.normal(size=(5, 20))[label] * 4 + 0.1 * rng.normal(size=(300, 20))).astype("f4")
    model = VQVAE(VQVAE.Config(n_codes=5, n_latent=4, max_epochs=15), n_features=20)
    history = fit(model, x)
    assert clustering_error(label, model.embed(torch.from_numpy(x)).nearest.numpy()) == 0
    assert history["perplexity"][-1] == pytest.approx(5, abs=0.1)


def test_more_codes_than_observations_are_refused():
    model = VQVAE(VQVAE.Config(n_codes=50), n_features=3)
    with pytest.raises(ValueError, match="n_codes=50 for 9 training observations"):
        fit(model, np.random.default_rng(0).normal(size=(10, 3)).astype("f4"))
