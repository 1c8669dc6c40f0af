"""Large linear layers are multiplied by oneDNN, and nobody can tell but by the clock."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code
from torch.utils._python_dispatch import TorchDispatchMode

from sigilla.nn import Linear, mlp

ROWS = 64


class Called(TorchDispatchMode):
    """Names of the operations that ran."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def n_by_onednn(*step):
    with Called() as called:
        for part in step:
            part()
    return called.names.count("mkldnn::_linear_pointwise")


def needs_onednn():
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        pytest.skip("this processor has no AVX")


def of_reals(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n_in", "n_out"), [(978, 1000), (4000, 70), (70, 4000), (3, 5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("then", ["none", "tanh"])
def test_values_and_gradients_are_those_of_64_bits(n_in, n_out, bias, then):
    layer = Linear(n_in, n_out, bias=bias, then=then)
    x = of_reals(ROWS, n_in).requires_grad_()
    upstream = of_reals(ROWS, n_out, seed=1)
    y = layer(x)
    y.backward(upstream)
    exact, up = x.detach().double(), upstream.double()
    weight = layer.weight.detach().double()
    shift = layer.bias.detach().double() if bias else 0
    expected = exact @ weight.T + shift
    if then == "tanh":
        expected = expected.tanh()
        up = up * (1 - expected.square())
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(y.double(), expected, **close)
    torch.testing.assert_close(x.grad.double(), up @ weight, **close)
    torch.testing.assert_close(layer.weight.grad.double(), up.T @ exact, **close)
    if bias:
        torch.testing.assert_close(layer.bias.grad.double(), up.sum(0), **close)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, 7:985],
        lambda x: x[::2, :978],
        lambda x: x[:1].expand(ROWS, -1)[:, :978],
        lambda x: x.T.contiguous().T[:, :978],
    ],
    ids=["columns of a matrix", "each second row", "one row repeated", "turned round"],
)
def test_views_are_multiplied_like_copies(view):
    layer = Linear(978, 1000)
    x = view(of_reals(2 * ROWS, 1000))
    y = layer(x)
    y.sum().backward()
    exact = x.double() @ layer.weight.detach().double().T + layer.bias.detach().double()
    torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-4)
    of_weight = x.double().sum(0).expand(1000, -1)
    torch.testing.assert_close(layer.weight.grad.double(), of_weight, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("rows", [ROWS, 1], ids=["large", "small"])
def test_the_tanh_of_a_product_is_as_exact_as_torchs(rows):
    layer = Linear(1000, 1000, bias=False, then="tanh")
    with torch.no_grad():
        layer.weight.copy_(torch.eye(1000))
    x = torch.linspace(-20, 20, rows * 1000).reshape(rows, 1000)
    curve = layer(x).double()
    torch.testing.assert_close(curve, x.double().tanh(), rtol=2e-7, atol=0)
    ends = torch.full_like(x, 3e38)
    assert torch.equal(layer(ends), torch.ones_like(x))
    assert torch.equal(layer(-ends), -torch.ones_like(x))
    assert layer(ends * torch.nan).isnan().all()


def test_a_bias_with_gaps_is_added_as_it_is():
    layer = Linear(4000, 70)
    layer.bias = torch.nn.Parameter(of_reals(140)[::2])
    x = of_reals(ROWS, 4000)
    expected = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_a_wrong_number_of_features_is_told_by_torch():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Linear(4000, 70)(of_reals(ROWS, 4001))


def test_only_what_the_gradients_need_is_kept():
    layer = Linear(4000, 70)
    y = layer(of_reals(ROWS, 4000))
    with torch.no_grad():
        layer.weight.mul_(2)  # as torch allows where x has no gradient
    y.sum().backward()
    assert layer.weight.grad is not None


def test_large_products_of_32_bits_are_onednns():
    needs_onednn()
    wide, narrow = Linear(4000, 70), Linear(70, 4000)
    x = of_reals(ROWS, 4000).requires_grad_()
    assert n_by_onednn(lambda: wide(x).sum().backward()) == 3
    # Where the gradient of the output is the larger matrix, turning it round does not pay.
    x = of_reals(ROWS, 70).requires_grad_()
    assert n_by_onednn(lambda: narrow(x).sum().backward()) == 2
    with torch.no_grad():
        assert n_by_onednn(lambda: wide(of_reals(ROWS, 4000))) == 1


def test_no_gradient_is_computed_that_nobody_asked_for():
    needs_onednn()
    layer = Linear(4000, 70)
    assert n_by_onednn(lambda: layer(of_reals(ROWS, 4000)).sum().backward()) == 2
    layer.weight.requires_grad_(requires_grad=False)
    assert n_by_onednn(lambda: layer(of_reals(ROWS, 4000)).sum().backward()) == 1


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 4000), torch.float32), ((2, 32, 4000), torch.float32), ((ROWS, 4000), torch.float64)],
    ids=["small", "of three dimensions", "of 64 bits"],
)
def test_all_other_products_are_torchs(shape, dtype):
    layer = Linear(4000, 70).to(dtype)
    x = of_reals(*shape).to(dtype)
    assert n_by_onednn(lambda: layer(x).sum().backward()) == 0
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("then", ["none", "tanh"])
def test_half_precision_is_autocasts(then):
    layer = Linear(4000, 70, then=then)
    x = of_reals(ROWS, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert n_by_onednn(lambda: layer(x)) == 0
        plain = F.linear(x, layer.weight, layer.bias)
        assert torch.equal(layer(x), plain.tanh() if then == "tanh" else plain)
        assert layer(x).dtype == torch.bfloat16


@pytest.mark.parametrize("then", ["none", "tanh"])
def test_other_devices_are_left_alone(then):
    layer = Linear(4000, 70, device="meta", then=then)
    y = layer(torch.empty(ROWS, 4000, device="meta"))
    y.sum().backward()
    assert (y.device.type, layer.weight.grad.shape) == ("meta", (70, 4000))


def test_a_product_is_the_same_bits_each_time():
    layer, x = Linear(978, 1000), of_reals(ROWS, 978)
    gradients = []
    for _ in range(3):
        layer.zero_grad()
        layer(x).square().sum().backward()
        gradients.append(layer.weight.grad.clone())
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_a_tanh_is_made_in_the_pass_of_the_product():
    needs_onednn()
    layer = Linear(4000, 70, then="tanh")
    with Called() as called:
        layer(of_reals(ROWS, 4000)).sum().backward()
    assert "mkldnn::_linear_pointwise" in called.names
    assert "aten::tanh" not in called.names


def test_the_tanh_can_be_differentiated_twice():
    layer, x = Linear(4000, 70, then="tanh"), of_reals(ROWS, 4000).requires_grad_()
    exact, weight, bias = (t.detach().double() for t in (x, layer.weight, layer.bias))

    def bend(x, y):
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    exact.requires_grad_()
    expected = bend(exact, F.linear(exact, weight, bias).tanh())
    torch.testing.assert_close(bend(x, layer(x)).double(), expected, rtol=1e-3, atol=1e-5)


def test_networks_of_tanh_are_torchs_with_the_same_state():
    ours = mlp([978, 1000, 1000, 20], activation="tanh")
    torchs = torch.nn.Sequential(
        torch.nn.Linear(978, 1000),
        torch.nn.Tanh(),
        torch.nn.Linear(1000, 1000),
        torch.nn.Tanh(),
        torch.nn.Linear(1000, 20),
    )
    torchs.load_state_dict(ours.state_dict())
    x = of_reals(ROWS, 978)
    torch.testing.assert_close(ours(x), torchs(x), rtol=1e-4, atol=1e-5)


def test_a_layer_takes_what_torchs_takes_and_a_tanh():
    assert Linear(3, 5, bias=False).bias is None
    assert torch.nn.utils.skip_init(Linear, in_features=3, out_features=5).weight.shape == (5, 3)
    with pytest.raises(ValueError, match="then='relu'; take one of 'none', 'tanh'"):
        Linear(3, 5, then="relu")


def test_a_layer_says_what_comes_then():
    assert repr(Linear(3, 5)) == repr(torch.nn.Linear(3, 5))
    assert repr(Linear(3, 5, then="tanh")) == (
        "Linear(in_features=3, out_features=5, bias=True, then=tanh)"
    )


def test_it_can_be_differentiated_twice():
    layer, x = Linear(4000, 70), of_reals(ROWS, 4000).requires_grad_()
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.square().sum(), x)
    gram = layer.weight.detach().T @ layer.weight.detach()
    expected = 8 * ((x.detach() @ gram + layer.bias.detach() @ layer.weight.detach()) @ gram)
    torch.testing.assert_close(bend, expected, rtol=1e-3, atol=1e-3)


def test_its_state_is_that_of_torchs_layer():
    layer = Linear(978, 1000)
    other = torch.nn.Linear(978, 1000)
    other.load_state_dict(layer.state_dict())
    x = of_reals(ROWS, 978)
    torch.testing.assert_close(layer(x), other(x), rtol=1e-4, atol=1e-5)
