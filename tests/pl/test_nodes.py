"""The cells of pl.signature_nodes are the table of get.signature_nodes."""

from __future__ import annotations

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import sigilla as sg

mpl.use("Agg")


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    label = np.repeat(["mTOR/PI3K inhibitor", "$x$", "c"], 20)
    latent = rng.normal(size=(3, 6)).repeat(20, axis=0) * 2 + rng.normal(size=(60, 6)) / 5
    latent[:, 4] = 0
    obs = pd.DataFrame({"pcl": label}, index=[f"s{i}" for i in range(60)])
    return ad.AnnData(np.zeros((60, 1)), obs, obsm={"X_vae": latent})


def test_cells_are_class_means_with_their_class_and_node(adata, tmp_path):
    ax = sg.pl.signature_nodes(adata, save=tmp_path / "nodes.png")
    table = sg.get.signature_nodes(adata)
    rows = [t.get_text() for t in ax.get_yticklabels()]
    columns = [int(t.get_text()) for t in ax.get_xticklabels()]
    assert sorted(columns) == table.columns.tolist()
    assert 4 not in columns
    np.testing.assert_allclose(ax.images[0].get_array(), table.loc[rows, columns])
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert (tmp_path / "nodes.png").stat().st_size > 1000
