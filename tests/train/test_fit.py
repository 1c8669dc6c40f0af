from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sigilla.models import METHODS, VAE, Loss
from sigilla.nn import _rows
from sigilla.train import TrainingError, _fit, fit, holdout, resolve_device
from sigilla.train._device import fits_on

X = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)


def vae(**options: object) -> VAE:
    return VAE(VAE.Config(n_latent=2, n_hidden=4, batch_size=16, **options), n_features=6)


class Interrupted(VAE):
    """Stops as a killed process would, before its fourth epoch."""

    def start_epoch(self, epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt


def test_a_fit_that_was_interrupted_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(_fit, "_CHECKPOINT_SECONDS", 0)
    whole = vae(max_epochs=6)
    expected = fit(whole, X)
    checkpoint = tmp_path / "fit.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(whole.config, n_features=6), X, checkpoint=checkpoint)
    assert checkpoint.exists()
    resumed = vae(max_epochs=6)
    history = fit(resumed, X, checkpoint=checkpoint)
    for name in expected.keys() - {"seconds"}:
        np.testing.assert_array_equal(history[name], expected[name], err_msg=name)
    for name, value in whole.state().items():
        np.testing.assert_array_equal(resumed.state()[name], value, err_msg=name)
    assert not checkpoint.exists()


def test_a_checkpoint_of_another_fit_is_refused_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_fit, "_CHECKPOINT_SECONDS", 0)
    checkpoint = tmp_path / "fit.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(vae(max_epochs=6).config, n_features=6), X, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="belongs to a fit with other random_state"):
        fit(vae(max_epochs=6), X, random_state=1, checkpoint=checkpoint)
    assert checkpoint.exists()


def test_the_best_epoch_on_held_out_observations_is_the_one_that_remains():
    class Worsening(VAE):
        """Its watched loss is lowest in epoch 2, whatever the weights do."""

        def build(self, n_features, n_classes):
            super().build(n_features, n_classes)
            self.register_buffer("epoch", torch.zeros(()))

        def start_epoch(self, epoch: int) -> None:
            self.epoch.fill_(epoch)

        def loss(self, batch, *, phase):
            terms = super().loss(batch, phase=phase).terms
            return Loss(terms | {"drift": (self.epoch - 2).square() * 1e3})

    model = Worsening(vae(max_epochs=40, patience=5).config, n_features=6)
    history = fit(model, X)
    assert len(history["loss"]) == 8  # epochs 0..2, then five without a better one
    assert model.epoch == 2


def test_without_validation_all_observations_train_to_the_last_epoch():
    seen = []

    class Counting(VAE):
        def loss(self, batch, *, phase):
            seen.append(len(batch.x))
            return super().loss(batch, phase=phase)

    history = fit(Counting(vae(max_epochs=4, validation_fraction=0).config, n_features=6), X)
    assert len(history["loss"]) == 4
    assert sum(seen) == 4 * len(X)
    assert not any(name.startswith("val_") for name in history)


def test_a_term_that_leaves_the_numbers_is_named():
    class Broken(VAE):
        def loss(self, batch, *, phase):
            terms = super().loss(batch, phase=phase).terms
            return Loss(terms | {"cursed": terms["kl"] * float("nan")})

    with pytest.raises(TrainingError, match=r"'cursed' became nan in epoch 0; lower learning_rate"):
        fit(Broken(vae().config, n_features=6), X)


def test_history_averages_over_observations_whatever_the_batches():
    still = {"max_epochs": 1, "validation_fraction": 0, "learning_rate": 1e-12}

    class Plain(VAE):
        """No noise, so that only the way of averaging could differ."""

        def loss(self, batch, *, phase):
            return Loss({"mean": batch.x.mean() + 0 * super().loss(batch, phase=phase).total})

    for size in (16, 40):  # 16, 16 and 8 rows, or all 40
        model = Plain(VAE.Config(batch_size=size, n_latent=2, n_hidden=4, **still), n_features=6)
        assert fit(model, X[:40])["mean"][0] == pytest.approx(X[:40].mean(), rel=1e-5)


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    unlabelled=st.integers(0, 20),
    fraction=st.floats(0.01, 0.9),
)
def test_a_holdout_leaves_every_class_a_member_and_takes_its_share(sizes, unlabelled, fraction):
    label = np.repeat(np.arange(len(sizes)), sizes)
    label = np.concatenate([label, np.full(unlabelled, -1)])
    held = holdout(label, fraction, np.random.default_rng(0))
    if sum(sizes):
        assert not held[label < 0].any()
        for k, size in enumerate(sizes):
            taken = held[label == k].sum()
            assert taken <= max(size - 1, 0)
        spare = sum(max(size - 1, 0) for size in sizes)
        assert held.sum() == min(round(fraction * sum(sizes)), spare)
    else:
        assert held.sum() == min(round(fraction * unlabelled), max(unlabelled - 1, 0))


def test_an_unknown_device_is_refused_with_what_would_work():
    with pytest.raises(ValueError, match="take 'auto', 'cpu' or 'cuda'"):
        resolve_device("gpu")
    assert resolve_device("auto") == torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_a_million_signatures_stay_on_a_card_of_80_gb_and_eight_million_do_not(monkeypatch):
    free = 79 * 2**30  # what a driver leaves of 80 GB
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 2**30))
    card = torch.device("cuda", 0)
    assert fits_on(card, 10**6 * 978 * 4)
    assert fits_on(card, 6 * 10**6 * 978 * 4)  # and the two copies that a fit may start from
    assert not fits_on(card, 8 * 10**6 * 978 * 4)
    assert fits_on(torch.device("cpu"), 10**15)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_start_in_blocks_is_a_start_at_once_and_leaves_the_data_alone(name, monkeypatch):
    x = torch.randn(90, 12) + torch.arange(90)[:, None] % 3
    label = torch.arange(90) % 3
    before = x.clone()
    states = []
    for block_bytes in (_rows._BLOCK_BYTES, 4 * 12 * 7):
        monkeypatch.setattr(_rows, "_BLOCK_BYTES", block_bytes)
        config = METHODS[name].Config(max_epochs=0, validation_fraction=0.0)
        model = METHODS[name](config, n_features=12, classes=["a", "b", "c"])
        fit(model, x, label, progress=False)
        states.append(model.state_dict())
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
