from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from sigilla.nn import (
    Pull,
    Tanh,
    pulled,
    squared_distances,
    squared_error,
    straight_through,
    straight_through_error,
)

torch_rows, n_codes, width = 40, 5, 7


@pytest.fixture
def parts() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float32).requires_grad_()

    return {
        "z": draw(torch_rows, width),
        "codes": draw(n_codes, width),
        "weight": draw(11, width),
        "bias": draw(11),
    }


def gradients(loss: torch.Tensor, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(loss, list(parts.values()), allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(value) if grad is None else grad
        for (name, value), grad in zip(parts.items(), found, strict=True)
    }


def test_decoding_codes_once_gives_the_errors_and_gradients_of_decoding_each_row(parts):
    torch.manual_seed(0)
    z, codes, weight, bias = parts.values()
    chosen = (torch.arange(torch_rows) * 3) % n_codes
    x = torch.randn(torch_rows, 11)
    ours = straight_through_error(z, codes.detach(), chosen, x, weight, bias, 10.0)
    decoded = 10 * Tanh()(linear(straight_through(z, codes[chosen]), weight, bias))
    theirs = squared_error(decoded, x)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(theirs, (decoded - x).square().mean(dim=1))
    weights = torch.rand(torch_rows)
    found, expected = (gradients(error.dot(weights), parts) for error in (ours, theirs))
    torch.testing.assert_close(found, expected)
    assert found["z"].any()
    assert found["weight"].any()


def test_pulls_have_the_values_and_one_sided_gradients_of_weighted_squared_distances(parts):
    z, codes = parts["z"], parts["codes"]
    distances = squared_distances(z, codes).detach()
    pulls = [
        Pull(chosen, distances.gather(1, chosen[:, None])[:, 0], of_codes, of_z)
        for chosen, of_codes, of_z in (
            (torch.arange(torch_rows) * 2 % 4, torch.rand(torch_rows), torch.rand(torch_rows)),
            (torch.arange(torch_rows) % 2, -torch.rand(torch_rows), torch.rand(torch_rows)),
        )
    ]
    ours = pulled(z, codes, *pulls)
    theirs = [
        (
            ((codes[pull.chosen] - z.detach()).square().sum(dim=1) * pull.of_codes).sum(),
            ((codes[pull.chosen].detach() - z).square().sum(dim=1) * pull.of_z).sum(),
        )
        for pull in pulls
    ]
    torch.testing.assert_close(ours, theirs)
    together = [
        3 * found[0][0] - found[0][1] + 2 * found[1][0] + found[1][1] for found in (ours, theirs)
    ]
    torch.testing.assert_close(*(gradients(loss, parts) for loss in together))


def test_distances_to_codes_are_of_32_bits_under_autocast():
    z, codes = torch.randn(50, 64), torch.randn(9, 64)
    exact = torch.cdist(z.double(), codes.double()).square()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = squared_distances(z, codes)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
