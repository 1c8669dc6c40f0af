from __future__ import annotations

import anndata
import dask.array
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sigilla.batches import Blocks, _matrix, read_labels, read_observations
from sigilla.errors import DataError


def table(values: object, **obs: object) -> anndata.AnnData:
    x = np.asarray(values, dtype=np.float32)
    names = [f"s{i}" for i in range(len(x))]
    return anndata.AnnData(x, obs=pd.DataFrame(obs, index=names))


X = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    "make",
    [
        np.asfortranarray,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.csr_array,
        lambda x: dask.array.from_array(x, chunks=(2, 2)),
        lambda x: x.astype(np.int32),
    ],
)
def test_every_kind_of_matrix_gives_the_same_numbers(make):
    adata = anndata.AnnData(make(X))
    mask = np.array([True, False, True])
    np.testing.assert_array_equal(read_observations(adata).x, X)
    np.testing.assert_array_equal(read_observations(adata, mask_var=mask).x, X[:, mask])


def test_a_backed_file_is_read(tmp_path):
    anndata.AnnData(X).write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    np.testing.assert_array_equal(read_observations(backed).x, X)
    backed.file.close()


def test_layers_and_representations_are_named():
    adata = table(X)
    adata.layers["twice"] = 2 * X
    adata.obsm["X_pca"] = X[:, :2]
    np.testing.assert_array_equal(read_observations(adata, layer="twice").x, 2 * X)
    seen = read_observations(adata, use_rep="X_pca")
    assert seen.names == ("X_pca_0", "X_pca_1")
    assert seen.columns is None
    with pytest.raises(KeyError, match="did you mean 'twice'"):
        read_observations(adata, layer="twices")
    with pytest.raises(ValueError, match="not both"):
        read_observations(adata, layer="twice", use_rep="X_pca")
    with pytest.raises(KeyError, match="mask_var='hvg' not found"):
        read_observations(adata, mask_var="hvg")
    with pytest.raises(ValueError, match="one value per gene, 3"):
        read_observations(adata, mask_var=np.array([True]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted_and_placed(bad):
    x = X.copy()
    x[2, 1] = bad
    with pytest.raises(DataError, match=r"adata\.X has 1 NaN or infinite value\(s\).*'s2'"):
        read_observations(table(x))


def test_infinite_values_that_cancel_in_their_sum_are_seen_and_large_ones_are_welcome():
    x = X.copy()
    x[1, :2] = [3e38, 3e38]
    np.testing.assert_array_equal(read_observations(table(x)).x, x)
    x[3, :2] = [np.inf, -np.inf]
    with pytest.raises(DataError, match=r"has 2 NaN or infinite value\(s\).*'s3'"):
        read_observations(table(x))


def test_empty_data_are_refused():
    with pytest.raises(DataError, match="empty: 4 observations x 0 features"):
        read_observations(table(X), mask_var=np.zeros(3, dtype=bool))


def test_missing_labels_are_minus_one_whatever_stands_for_them():
    for labels in (
        ["b", None, "a", np.nan],
        pd.Categorical(["b", None, "a", None]),
        ["b", "", "a", None],
        pd.array(["b", pd.NA, "a", pd.NA], dtype="string"),
        pd.Series(["b", None, "a", np.nan]).astype(str).to_numpy(),
        pd.Categorical(["b", "NaN", "a", "<NA>"]),
    ):
        found = read_labels(table(X, pcl=labels), "pcl")
        assert found.classes == ("a", "b")
        assert found.index.tolist() == [1, -1, 0, -1]


def test_text_that_counts_as_no_label_is_named(caplog):
    with caplog.at_level("WARNING", logger="sigilla"):
        read_labels(table(X, pcl=["b", "nan", "a", "a"]), "pcl")
    assert "pcl has the text 'nan', which counts as no label" in caplog.text
    labels = pd.Categorical(["z", "nan", "y", "x"], categories=["z", "nan", "y", "x"])
    found = read_labels(table(X, pcl=labels), "pcl")
    assert found.classes == ("z", "y", "x")
    assert found.index.tolist() == [0, -1, 1, 2]


def test_classes_that_are_the_same_as_text_are_refused():
    with pytest.raises(DataError, match="differ in type only: '1' stands for more than one"):
        read_labels(table(X, pcl=pd.Categorical([1, "1", "a", "a"])), "pcl")


def test_the_order_of_classes_survives_slicing():
    labels = pd.Categorical(list("zyxw"), categories=list("zyxw"))
    adata = table(X, pcl=labels)
    assert read_labels(adata, "pcl").classes == ("z", "y", "x", "w")
    assert read_labels(adata[[3, 1]], "pcl").classes == ("y", "w")
    plain = table(X, pcl=list("zyxw"))
    assert read_labels(plain[[3, 1]], "pcl").classes == ("w", "y")


def test_too_few_classes_are_refused_by_what_is_there():
    with pytest.raises(KeyError, match="label_key='moa' not found; did you mean 'moas'"):
        read_labels(table(X, moas=list("aabb")), "moa")
    with pytest.raises(DataError, match="no label at all in 4 observations"):
        read_labels(table(X, pcl=[None] * 4), "pcl")
    with pytest.raises(DataError, match="one class, 'a'"):
        read_labels(table(X, pcl=["a"] * 4), "pcl")


def test_rows_that_stay_where_they_are_are_read_dense_and_checked(tmp_path):
    anndata.AnnData(sparse.csr_matrix(X)).write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    seen = read_observations(backed, mask_var=np.array([True, False, True]), from_disk=True)
    assert isinstance(seen.x, Blocks)
    assert seen.x.shape == (4, 2)
    np.testing.assert_array_equal(seen.x[1:3], X[1:3, [0, 2]])
    backed.file.close()
    x = X.copy()
    x[2, 1] = np.nan
    blocks = read_observations(anndata.AnnData(sparse.csr_matrix(x)), from_disk=True).x
    blocks[:2]
    with pytest.raises(DataError, match=r"1 NaN or infinite value\(s\).*'2'"):
        blocks[1:4]


def test_only_what_is_not_dense_and_would_not_fit_stays_where_it_is(monkeypatch):
    lazy = anndata.AnnData(dask.array.from_array(X, chunks=(2, 3)))
    dense = anndata.AnnData(X)
    assert isinstance(read_observations(lazy, from_disk=None).x, np.ndarray)
    monkeypatch.setattr(_matrix, "_memory_available", lambda: X.nbytes)
    assert isinstance(read_observations(lazy, from_disk=None).x, Blocks)
    assert isinstance(read_observations(dense, from_disk=None).x, np.ndarray)
    assert isinstance(read_observations(lazy).x, np.ndarray)


def test_blocks_hold_whole_chunks():
    lazy = anndata.AnnData(dask.array.zeros((10_000, 1000), chunks=(1500, 1000)))
    blocks = read_observations(lazy, from_disk=True).x
    assert blocks.block_rows == 3000  # 8 MiB are 2,097 rows
