from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tests.tl.test_fit import run, signatures

import sigilla as sg
from sigilla.tl import _generate


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


def test_samples_vary_within_a_class_as_real_signatures_do(fitted):
    """Gene by gene and between genes; more than what the decoder shows of the latent."""
    new = sg.tl.generate(fitted, n=3000, key="vqvae")
    covariances = []
    for adata in (fitted, new):
        parts = [adata[adata.obs["vqvae"] == name].X for name in new.obs["vqvae"].cat.categories]
        covariances.append(sum(len(part) * np.cov(part.T) for part in parts) / adata.n_obs)
    real, made = (np.sqrt(np.diag(c)).mean() for c in covariances)
    assert made == pytest.approx(real, rel=0.1)
    assert np.corrcoef(covariances[0].ravel(), covariances[1].ravel())[0, 1] > 0.8
    for name, prototype in sg.get.prototypes(fitted, "vqvae").items():
        mean = new[new.obs["vqvae"] == name].X.mean(axis=0)
        np.testing.assert_allclose(mean, prototype, atol=0.15)


def test_no_sample_is_a_copy_and_the_seed_decides(fitted):
    new = sg.tl.generate(fitted, n=100, key="vqvae")
    nearest = np.sqrt(np.square(new.X[:, None] - fitted.X[None]).sum(axis=2)).min(axis=1)
    real = np.sqrt(np.square(fitted.X[:, None] - fitted.X[None]).sum(axis=2))
    np.fill_diagonal(real, np.inf)
    assert np.median(nearest) == pytest.approx(np.median(real.min(axis=1)), rel=0.25)
    assert nearest.min() > 0.1
    again = sg.tl.generate(fitted, n=100, key="vqvae")
    np.testing.assert_array_equal(new.X, again.X)
    other = sg.tl.generate(fitted, n=100, key="vqvae", random_state=1)
    assert not np.array_equal(new.X, other.X)


def test_nodes_of_a_vae_are_clamped_and_the_others_drawn(fitted):
    run("vae", fitted)
    n_latent = fitted.obsm["X_vae"].shape[1]
    every = pd.Series(fitted.obsm["X_vae"][0])
    new = sg.tl.generate(fitted, key="vae", nodes=every, n=3)
    model = sg.get.model(fitted, "vae")
    decoded = model.decode(torch.tensor(fitted.obsm["X_vae"][:1])).detach().numpy()
    np.testing.assert_allclose(new.X, np.repeat(decoded, 3, axis=0), rtol=1e-4, atol=1e-4)
    assert new.var_names.tolist() == fitted.var_names.tolist()
    some = sg.tl.generate(fitted, key="vae", nodes={0: 3.0}, n=400)
    fixed = sg.tl.generate(fitted, key="vae", nodes={0: 3.0}, n=2, spread=0)
    np.testing.assert_array_equal(fixed.X[0], fixed.X[1])
    assert some.X.std(axis=0).min() > 0
    with pytest.raises(ValueError, match=f"the latent has nodes 0 to {n_latent - 1}"):
        sg.tl.generate(fitted, key="vae", nodes={n_latent: 1.0})
    with pytest.raises(ValueError, match="is sampled by classes"):
        sg.tl.generate(fitted, key="vqvae", nodes={0: 1.0})


def test_a_model_of_a_layer_or_of_some_genes_is_sampled_from_those(fitted):
    fitted.layers["z"] = fitted.X.copy()
    fitted.X = np.zeros_like(fitted.X)
    mask = np.arange(fitted.n_vars) % 3 > 0
    run("vqvae", fitted, layer="z", mask_var=mask)
    new = sg.tl.generate(fitted, n=20, key="vqvae")
    assert new.var_names.tolist() == fitted.var_names[mask].tolist()
    assert new.X.std() > 0.1
    with pytest.raises(ValueError, match="are gone"):
        sg.tl.generate(fitted[:, :2], n=20, key="vqvae")


def test_of_very_many_signatures_a_random_part_is_enough(fitted, monkeypatch):
    monkeypatch.setattr(_generate, "_ROWS", 40)
    new = sg.tl.generate(fitted, n=500, key="vqvae")
    own = fitted.obs["vqvae"].astype(str).to_numpy()
    spread = np.mean([fitted.X[own == name].std(axis=0).mean() for name in np.unique(own)])
    made = np.mean([new.X[new.obs["vqvae"] == name].std(axis=0).mean() for name in np.unique(own)])
    assert made == pytest.approx(spread, rel=0.2)


def test_what_cannot_be_sampled_is_said(fitted):
    with pytest.raises(KeyError, match="classes='9' not found"):
        sg.tl.generate(fitted, "9", key="vqvae")
    with pytest.raises(ValueError, match="n=0 must be a whole number, at least 1"):
        sg.tl.generate(fitted, n=0, key="vqvae")
    with pytest.raises(ValueError, match="spread=-1"):
        sg.tl.generate(fitted, spread=-1, key="vqvae")
    with pytest.raises(ValueError, match=r"classes=\[\] names none"):
        sg.tl.generate(fitted, [], key="vqvae")
    run("vae", fitted)
    with pytest.raises(ValueError, match=r"a VAE, which has no codes.*give nodes"):
        sg.tl.generate(fitted, key="vae")
