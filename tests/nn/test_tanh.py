from __future__ import annotations

import math

import pytest
import torch

from sigilla.nn import Tanh


def test_tanh_and_its_slope_are_torchs():
    x = torch.linspace(-20, 20, 100_001, requires_grad=True)
    curve = Tanh()(x)
    curve.sum().backward()
    exact = x.detach().double().tanh()
    torch.testing.assert_close(curve.double(), exact, rtol=0, atol=2e-7)
    torch.testing.assert_close(x.grad.double(), 1 - exact.square(), rtol=0, atol=5e-7)


@pytest.mark.parametrize("x", [0.0, math.inf, -math.inf, math.nan, 3e38])
def test_tanh_at_the_ends(x):
    x = torch.tensor([x])
    torch.testing.assert_close(Tanh()(x), x.tanh(), rtol=0, atol=0, equal_nan=True)


def test_tanh_of_half_precision_is_of_32_bits_and_its_gradient_is_not():
    x = torch.tensor([1.0, -3.0], dtype=torch.bfloat16, requires_grad=True)
    curve = Tanh()(x)
    curve.sum().backward()
    assert curve.dtype == torch.float32
    assert x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(curve, x.detach().float().tanh())


def test_tanh_can_be_differentiated_twice():
    x = torch.tensor([0.3, -1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(Tanh()(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    curve = x.detach().tanh()
    torch.testing.assert_close(bend, -2 * curve * (1 - curve.square()), rtol=1e-5, atol=1e-6)
