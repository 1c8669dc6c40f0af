from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import torch

import sigilla as sg


@pytest.fixture
def fitted():
    adata = sg.datasets.simulate_lincs(n_classes=4, class_sizes=[12] * 4, n_genes=20)
    sg.tl.svqvae(adata, max_epochs=3)
    return adata


def test_history_has_one_row_per_epoch(fitted):
    table = sg.get.history(fitted)
    assert table.index.tolist() == list(range(len(fitted.uns["svqvae"]["history"]["loss"])))
    assert table.index.name == "epoch"
    assert {"loss", "val_loss", "seconds"} <= set(table)


@pytest.mark.parametrize("better", ["min", "max"])
def test_best_epoch_is_the_extreme_of_what_the_method_watches(fitted, better, monkeypatch):
    from sigilla.models import METHODS

    monkeypatch.setattr(METHODS["svqvae"], "monitor", ("watched", better))
    fitted.uns["svqvae"]["history"]["val_watched"] = np.array([2.0, 1.0, 3.0])
    fitted.uns["svqvae"]["history"] |= {
        k: np.zeros(3) for k in fitted.uns["svqvae"]["history"] if k != "val_watched"
    }
    assert sg.get.best_epoch(fitted) == {"min": 1, "max": 2}[better]


def test_without_held_out_observations_there_is_no_best_epoch():
    adata = sg.datasets.simulate_lincs(n_classes=3, class_sizes=[8] * 3, n_genes=12)
    sg.tl.svqvae(adata, max_epochs=2, validation_fraction=0)
    assert sg.get.best_epoch(adata) is None


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_the_model_in_a_written_file_is_the_model(fitted, tmp_path, kind):
    path = tmp_path / f"fitted.{kind}"
    getattr(fitted, f"write_{kind}")(path)
    read = getattr(ad, f"read_{kind}")(path)
    model = sg.get.model(read)
    assert model.var_names == tuple(fitted.var_names)
    embedding = model.embed(torch.from_numpy(np.asarray(fitted.X)))
    np.testing.assert_allclose(embedding.latent.numpy(), fitted.obsm["X_svqvae"], atol=1e-5)
    np.testing.assert_array_equal(
        np.array(model.classes)[embedding.nearest.numpy()], fitted.obs["svqvae"].astype(str)
    )
    np.testing.assert_array_equal(sg.get.code_correlation(read), sg.get.code_correlation(fitted))
