"""Signature nodes of a latent that the test chooses."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError


@pytest.fixture
def adata():
    """Node 1 tells a from b, node 2 is wide but of no class, node 0 is quiet, node 3 is a's."""
    latent = np.array(
        [[0.1, 2, 1, -3], [-0.1, 4, -1, -1], [0.1, -3, 1, 0], [0.1, -1, -1, 0], [9, 9, 9, 9]]
    )
    labels = pd.Categorical(["b/x", "b/x", "a", "a", None], categories=["b/x", "gone", "a"])
    obs = pd.DataFrame({"pcl": labels}, index=list("vwxyz"))
    return ad.AnnData(np.zeros((5, 2)), obs, obsm={"X_vae": latent})


def test_nodes_are_those_far_from_0_in_labelled_signatures_and_rows_are_class_means(adata):
    table = sg.get.signature_nodes(adata)
    assert table.columns.tolist() == [1, 2, 3]
    assert table.index.tolist() == ["b/x", "a"]
    np.testing.assert_allclose(table, [[3, 0, -2], [-2, 0, 0]])
    assert sg.get.signature_nodes(adata, threshold=1).columns.tolist() == [1]


def test_order_of_classes_and_empty_labels(adata):
    adata.obs["pcl"] = ["b", "b", "a", "a", ""]
    table = sg.get.signature_nodes(adata)
    assert table.index.tolist() == ["a", "b"]
    assert table.columns.tolist() == [1, 2, 3]


def test_wrong_input_is_named(adata):
    with pytest.raises(KeyError, match=r"key='vea' not found; did you mean 'vae'"):
        sg.get.signature_nodes(adata, "vea")
    with pytest.raises(KeyError, match="label_key='pc'"):
        sg.get.signature_nodes(adata, label_key="pc")
    with pytest.raises(DataError, match=r"threshold=5; the largest is 2\.5"):
        sg.get.signature_nodes(adata, threshold=5)
    for threshold in ("x", -1, float("nan")):
        with pytest.raises(ValueError, match=f"threshold={threshold!r} must be a number, 0 or"):
            sg.get.signature_nodes(adata, threshold=threshold)
    adata.obs["pcl"] = None
    with pytest.raises(DataError, match="no label in 5 observations"):
        sg.get.signature_nodes(adata)
