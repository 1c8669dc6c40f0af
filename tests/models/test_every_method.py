"""What holds for every method of the registry: a new one is tested by being registered."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
import torch

import sigilla as sg
from sigilla.models import METHODS, Batch, Model
from sigilla.train import fit

N, GENES, CLASSES = 60, 12, ("a", "b", "c")

SMALL = {"n_latent": 4, "n_hidden": 8, "n_codes": 3, "max_epochs": 2, "batch_size": 32}


def small(method: type[Model], **options: object) -> Model:
    known = {f.name for f in dataclasses.fields(method.Config)}
    config = method.Config(**{k: v for k, v in (SMALL | options).items() if k in known})
    classes = CLASSES if method.uses_labels else ()
    return method(config, n_features=GENES, classes=classes)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.arange(N) % len(CLASSES)
    x = rng.normal(size=(len(CLASSES), GENES))[label] * 3 + rng.normal(size=(N, GENES))
    return x.astype(np.float32), np.where(np.arange(N) % 10 == 9, -1, label)


@pytest.fixture(params=METHODS.values(), ids=METHODS)
def method(request: pytest.FixtureRequest) -> type[Model]:
    return request.param


def test_every_option_is_documented_and_has_a_default(method):
    for field in dataclasses.fields(method.Config):
        assert field.metadata["doc"].endswith("."), field.name
        assert field.default is not dataclasses.MISSING, field.name


def test_the_verb_shows_the_options_of_the_config(method):
    parameters = inspect.signature(getattr(sg.tl, method.name)).parameters
    for field in dataclasses.fields(method.Config):
        assert parameters[field.name].default == field.default


def test_a_fit_gives_finite_named_terms_and_a_latent_for_every_observation(method):
    x, label = data()
    model = small(method)
    history = fit(model, x, label)
    assert {"loss", "val_loss", "seconds"} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values())
    found = model.embed(torch.from_numpy(x))
    assert len(found.latent) == N
    if method.has_codes:
        assert found.distances.shape == (N, len(model.classes))
        assert torch.equal(found.nearest, found.distances.argmin(dim=1))
        assert torch.equal(found.codes, model.codebook()[found.nearest])
        assert model.prototypes().shape == (len(model.classes), GENES)


def test_the_same_seed_gives_the_same_model_and_the_callers_stream_is_untouched(method):
    x, label = data()
    results = []
    for draws in (0, 5):
        torch.rand(draws)
        before = torch.get_rng_state()
        model = small(method)
        fit(model, x, label, random_state=3)
        assert torch.equal(before, torch.get_rng_state())
        results.append(model.state())
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name], err_msg=name)


def test_a_training_step_runs_on_the_meta_device(method):
    """No host synchronisation: a value read back to the host does not exist on meta."""
    steps_on_meta(small(method))


def test_nor_does_one_of_the_published_objectives_read_anything_back():
    steps_on_meta(small(sg.models.METHODS["svqvae"], objective="xue2020"))
    steps_on_meta(small(sg.models.METHODS["vae"], recipe="chen2023"))


def steps_on_meta(model):
    model = model.to("meta").train()
    batch = Batch(torch.empty(32, GENES, device="meta"), torch.zeros(32, device="meta").long())
    for phase in model.phases():
        optimiser = torch.optim.AdamW(phase.parameters, amsgrad=phase.amsgrad)
        loss = model.loss(batch, phase=phase.name)
        assert loss.total.shape == ()
        loss.total.backward()
        optimiser.step()
    assert model.embed(batch.x).latent.shape[0] == len(batch.x)


def test_a_saved_model_is_the_model(method, tmp_path):
    x, label = data()
    model = small(method)
    fit(model, x, label)
    loaded = sg.models.load(model.save(tmp_path / "model.safetensors"))
    assert loaded.describe() == model.describe()
    torch.testing.assert_close(
        loaded.embed(torch.from_numpy(x)).latent, model.embed(torch.from_numpy(x)).latent
    )


def test_constant_genes_and_large_values_are_no_trouble(method):
    x, label = data()
    x[:, 0] = 7.0
    x[:, 1] *= 1e5
    model = small(method)
    history = fit(model, x, label)
    assert np.isfinite(history["loss"]).all()
    assert torch.isfinite(model.embed(torch.from_numpy(x)).latent).all()


def test_half_precision_trains_to_the_quality_of_single_precision(method):
    x, label = data()
    values = {}
    for precision in ("float32", "bfloat16"):
        model = small(method, max_epochs=30, precision=precision)
        history = fit(model, x, label)
        values[precision] = min(history["val_loss"])
        weights = model.state_dict().values()
        assert all(w.dtype != torch.bfloat16 for w in weights)
        assert model.embed(torch.from_numpy(x)).latent.dtype == torch.float32
    assert values["bfloat16"] == pytest.approx(values["float32"], rel=0.05)
    assert values["bfloat16"] != values["float32"]
