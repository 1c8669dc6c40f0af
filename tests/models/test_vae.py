from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import subspace_angles

from sigilla.models import VAE, Batch
from sigilla.nn import kl_standard_normal
from sigilla.train import fit


def test_the_kl_term_is_that_of_torch():
    mean, log_var = torch.randn(5, 3), torch.randn(5, 3)
    prior = torch.distributions.Normal(0.0, 1.0)
    posterior = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    expected = torch.distributions.kl_divergence(posterior, prior).sum(dim=1)
    torch.testing.assert_close(kl_standard_normal(mean, log_var), expected)


def test_terms_are_summed_over_genes_and_dimensions_and_averaged_over_observations():
    """Averaging over genes too would hide a beta of genes / (2 latent dimensions)."""
    model = VAE(VAE.Config(n_latent=2, n_hidden=4), n_features=3).eval()
    x = torch.randn(7, 3)
    loss = model.loss(Batch(x, torch.full((7,), -1)), phase="main")
    mean, log_var = model.posterior(x)
    gaussian = torch.distributions.Normal(model.decoder(mean), 1.0)
    torch.testing.assert_close(loss.terms["reconstruction"], -gaussian.log_prob(x).sum(1).mean())
    torch.testing.assert_close(loss.terms["kl"], kl_standard_normal(mean, log_var).mean())


def test_the_latent_of_two_gaussian_factors_spans_their_plane():
    """The optimum of a linear VAE is probabilistic PCA; a linear truth keeps it there."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(800, 2))
    x = factors @ rng.normal(size=(2, 20)) + 0.3 * rng.normal(size=(800, 20))
    config = VAE.Config(n_latent=2, n_hidden=32, max_epochs=30, validation_fraction=0)
    model = VAE(config, n_features=20)
    fit(model, x.astype(np.float32))
    latent = model.embed(torch.from_numpy(x.astype(np.float32))).latent.numpy()
    angles = subspace_angles(latent - latent.mean(0), factors - factors.mean(0))
    assert np.degrees(angles).max() < 10


def test_a_large_beta_switches_the_latent_off():
    x = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    config = VAE.Config(n_latent=2, beta=50, max_epochs=40, learning_rate=5e-3)
    model = VAE(config, n_features=10)
    history = fit(model, x)
    assert history["kl"][-1] / 50 < 0.01


def test_the_published_if_vae_keeps_its_faults_for_comparison():
    """Log-variance never below 0, and a KL weight that runs 0, 1, 2, 2, ..."""
    x = np.random.default_rng(0).normal(size=(51, 10)).astype(np.float32)
    model = VAE(VAE.Config(recipe="chen2023", n_latent=3, batch_size=50), n_features=10)
    betas = []
    for epoch in range(4):
        model.start_epoch(epoch)
        betas.append(float(model.beta))
    assert betas == [0, 1, 2, 2]
    fit(VAE(VAE.Config(recipe="chen2023", max_epochs=3, batch_size=50), n_features=10), x)
    _, log_var = model.eval().posterior(torch.from_numpy(x))
    assert (log_var >= 0).all()
