from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from sigilla.nn import gaussian_nll, squared_error

n, d = 20, 6


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("n_variances", [1, d])
def test_the_gaussian_likelihood_has_torchs_values_and_gradients(n_variances):
    x = drawn(n, d)
    of_rows = torch.linspace(-1, 2, n)
    ours, theirs = (
        (drawn(n + 1, d)[1:].requires_grad_(), drawn(n_variances).requires_grad_())
        for _ in range(2)
    )
    found = gaussian_nll(x, *ours)
    mean, log_var = theirs
    expected = -Normal(mean, (0.5 * log_var).exp()).log_prob(x).sum(dim=1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.dot(of_rows), ours),
        torch.autograd.grad(expected.dot(of_rows), theirs),
    )


def test_a_squared_error_has_the_values_and_gradients_of_what_is_written_out():
    x, of_rows = drawn(n, d), torch.linspace(-1, 2, n)
    ours, theirs = (drawn(n + 1, d)[1:].requires_grad_() for _ in range(2))
    found, expected = squared_error(ours, x), (theirs - x).square().mean(dim=1)
    torch.testing.assert_close(found, expected)
    found.dot(of_rows).backward()
    expected.dot(of_rows).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_going_back_twice_is_refused_rather_than_wrong():
    a = drawn(n, d).requires_grad_()
    for error in (squared_error(a, drawn(n, d)), gaussian_nll(drawn(n, d), a, torch.zeros(d))):
        error.sum().backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            error.sum().backward()


def test_likelihoods_are_of_32_bits_under_autocast():
    x, mean, log_var = drawn(n, d), drawn(n + 1, d)[1:], drawn(d)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gaussian_nll(x, mean, log_var), squared_error(mean, x)
    torch.testing.assert_close(found, (gaussian_nll(x, mean, log_var), squared_error(mean, x)))
