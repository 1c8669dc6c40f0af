from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from sigilla.nn import pull, squared_distances, straight_through, straight_through_table

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


def test_decoding_codes_once_gives_the_values_and_gradients_of_decoding_each_row(parts):
    z, codes, weight, bias = parts.values()
    chosen = (torch.arange(torch_rows) * 3) % n_codes
    table = linear(codes.detach(), weight, bias).tanh()
    out = straight_through_table(z, table, chosen, 1 - table.detach().square(), weight)
    written_out = linear(straight_through(z, codes[chosen]), weight, bias).tanh()
    torch.testing.assert_close(out, written_out)
    weights = torch.linspace(-1, 1, 11)
    ours, theirs = (gradients((found**2 * weights).sum(), parts) for found in (out, written_out))
    torch.testing.assert_close(ours, theirs)
    assert ours["z"].any()
    assert ours["weight"].any()


def test_a_pull_has_the_values_and_one_sided_gradients_of_weighted_squared_distances(parts):
    z, codes = parts["z"], parts["codes"]
    chosen = torch.arange(torch_rows) % n_codes
    of_codes, of_z = torch.linspace(0, 1, torch_rows), torch.linspace(2, 1, torch_rows)
    squares = squared_distances(z, codes).detach().gather(1, chosen[:, None])[:, 0]
    ours = pull(z, codes, chosen, squares, of_codes, of_z)
    theirs = (
        ((codes[chosen] - z.detach()).square().sum(dim=1) * of_codes).sum(),
        ((codes[chosen].detach() - z).square().sum(dim=1) * of_z).sum(),
    )
    torch.testing.assert_close(ours, theirs)
    together = [3 * codebook - commitment for codebook, commitment in (ours, theirs)]
    torch.testing.assert_close(*(gradients(loss, parts) for loss in together))


def test_distances_to_codes_are_of_32_bits_under_autocast():
    z, codes = torch.randn(50, 64), torch.randn(9, 64)
    exact = torch.cdist(z.double(), codes.double()).square()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = squared_distances(z, codes)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
