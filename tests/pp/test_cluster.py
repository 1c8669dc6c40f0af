"""The IF step and the consensus on two worker processes of a dask cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sigilla as sg
from sigilla.pp import _cluster, _replicates, _strips

if TYPE_CHECKING:
    from collections.abc import Iterator

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def signatures(n: int = 90, p: int = 240) -> ad.AnnData:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p))
    x[: n // 3, :20] += 2.5
    x[np.abs(x) < 0.3] = 0
    names = [f"s{i}" for i in range(n)]
    obs = pd.DataFrame({"pert_id": [f"p{i % 30}" for i in range(n)]}, index=names)
    return ad.AnnData(x, obs=obs)


def only_on_workers(x: np.ndarray, chunks: tuple[int, int], make=np.asarray) -> da.Array:
    """Blocks that no task of this process may make."""
    here = os.getpid()

    def block(values: np.ndarray) -> object:
        assert os.getpid() != here
        return make(values)

    return da.from_array(x, chunks=chunks).map_blocks(block, meta=make(x[:0, :0]))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_workers_find_the_influential_features_that_memory_has(client, kind, masked, monkeypatch):
    adata = signatures()
    mask = np.arange(adata.n_vars) % 3 > 0 if masked else None
    expected = sg.pp.influential_features(adata, mask_var=mask, copy=True)
    if kind == "sparse":
        adata.X = only_on_workers(adata.X, (25, 240), sparse.csr_matrix)
    else:
        adata.X = only_on_workers(adata.X, (25, 70))
    # Twelve genes to a task, and no strip is to come here.
    monkeypatch.setattr(_strips, "STRIP_BYTES", _cluster._PARTS * 90 * 8 * 12)
    monkeypatch.setattr(_strips, "_read", None)
    sg.pp.influential_features(adata, mask_var=mask)
    pd.testing.assert_frame_equal(adata.var, expected.var)
    assert adata.uns["influential"]["threshold"] == expected.uns["influential"]["threshold"]


def test_a_worker_holds_so_many_bytes_at_a_time(monkeypatch):
    monkeypatch.setattr(_strips, "STRIP_BYTES", _cluster._PARTS * 90 * 8 * 12)
    rows, genes = _cluster.whole_genes(da.from_array(signatures().X, chunks=(25, 70))).chunks
    assert rows == (90,)
    assert genes == (12,) * 20


def test_counts_are_warned_of_on_a_cluster_too(client):
    counts = np.random.default_rng(0).poisson(3, size=(40, 30)).astype(float)
    with pytest.warns(UserWarning, match="whole numbers"):
        sg.pp.influential_features(ad.AnnData(da.from_array(counts, chunks=(10, 30))))


def test_a_consensus_of_rows_that_workers_read_is_that_of_memory(client, monkeypatch):
    adata = signatures()
    expected = sg.pp.modz(adata, "pert_id")
    monkeypatch.setattr(_replicates, "_BLOCK_VALUES", 6 * 240)  # a few replicates come at a time
    adata.X = only_on_workers(adata.X, (25, 70))
    found = sg.pp.modz(adata, "pert_id")
    np.testing.assert_allclose(found.X, expected.X, rtol=1e-5, atol=1e-6)
    pd.testing.assert_frame_equal(found.obs, expected.obs)


def test_without_a_client_strips_are_read_here():
    assert not _cluster.is_on_cluster(np.ones((2, 2)))
