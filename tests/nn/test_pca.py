from __future__ import annotations

import numpy as np
import pytest
import torch

from sigilla.nn import _pca, principal_axes


@pytest.mark.parametrize("exact", [True, False])
def test_axes_of_nearly_one_variance_are_the_exact_ones(exact, monkeypatch):
    monkeypatch.setattr(_pca, "_EXACT", 512 if exact else 0)
    rng = np.random.default_rng(0)
    n, p, d = 300, 200, 8
    axes = np.linalg.qr(rng.normal(size=(p, p)))[0]
    sd = np.r_[np.linspace(14, 12, d), 11.5, np.full(p - d - 1, 5.0)]
    x = (rng.normal(size=(n, p)) * sd) @ axes.T
    x -= x.mean(axis=0)
    _, singular, rows = np.linalg.svd(x, full_matrices=False)
    found, variance = principal_axes(torch.tensor(x), d)
    overlap = np.linalg.norm(found.numpy().T @ rows[:d].T, axis=0)
    assert overlap.min() > 0.999
    np.testing.assert_allclose(variance.numpy(), singular[:d] ** 2 / n, rtol=1e-3)


def test_two_starts_give_the_same_axes():
    x = torch.randn(50, 2000, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    first, _ = principal_axes(x, 4)
    torch.manual_seed(2)
    torch.testing.assert_close(principal_axes(x, 4)[0], first)
    assert (first.gather(0, first.abs().argmax(dim=0, keepdim=True)) > 0).all()
