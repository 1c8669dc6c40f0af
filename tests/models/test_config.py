from __future__ import annotations

import pytest

from sigilla.models import VAE, load, method


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"learning_rate": 0}, r"learning_rate=0 must be > 0"),
        ({"batch_size": 0}, r"batch_size=0 must be >= 1"),
        ({"max_epochs": 2.5}, r"max_epochs=2.5 must be a whole number"),
        ({"validation_fraction": 1.0}, r"validation_fraction=1.0 must be < 1"),
    ],
)
def test_an_option_outside_its_bounds_is_named_with_the_bound(option, message):
    with pytest.raises(ValueError, match=message):
        VAE.Config(**option)


def test_an_unknown_method_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'vqvae'"):
        method("vq-vae")


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("not a model")
    with pytest.raises(OSError, match="not a whole safetensors file"):
        load(path)
    with pytest.raises(OSError, match="does not exist"):
        load(tmp_path / "absent.safetensors")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    target = tmp_path / "model.safetensors"
    VAE(n_features=3).save(target)
    before = target.read_bytes()
    with pytest.raises(OSError, match="cannot be written"):
        VAE(n_features=3).save(tmp_path / "absent" / "model.safetensors")
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
