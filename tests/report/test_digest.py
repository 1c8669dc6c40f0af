"""Content decides the checksum: not where it is, nor how it is held."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sigilla.report._digest import of_file, of_value, plain


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    made = ad.AnnData(
        sparse.csr_array(rng.poisson(1, size=(6, 4)).astype("float32")),
        obs=pd.DataFrame(
            {"label": pd.Categorical(list("abcabc")), "dose": np.arange(6.0)},
            index=[f"s{i}" for i in range(6)],
        ),
    )
    made.layers["z"] = rng.normal(size=(6, 4))
    made.obsm["X_rep"] = rng.normal(size=(6, 2))
    made.uns["fit"] = {"classes": np.array(["a", None], dtype=object), "n": 3, "none": None}
    return made


def reordered(obs, column):
    return obs.assign(**{column: obs[column].cat.reorder_categories(list("cab"))})


def test_a_copy_a_view_and_a_file_have_the_digest_of_the_original(adata, tmp_path):
    digest = of_value(adata)
    assert of_value(adata.copy()) == digest
    assert of_value(adata[:]) == digest
    adata.uns.clear()
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert of_value(ad.read_h5ad(tmp_path / "a.h5ad")) == of_value(adata)
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert of_value(backed) == of_value(adata)
    backed.file.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.X.data.__setitem__(0, 99),
        lambda a: a.layers["z"].__setitem__((0, 0), 99),
        lambda a: a.obsm["X_rep"].__setitem__((0, 0), 99),
        lambda a: setattr(a, "obs", a.obs.assign(label=a.obs["label"].to_numpy()[::-1])),
        lambda a: setattr(a, "obs", reordered(a.obs, "label")),
        lambda a: setattr(a, "obs", a.obs.astype({"dose": "float32"})),
        lambda a: setattr(a, "obs", a.obs.rename(columns={"dose": "Dose"})),
        lambda a: setattr(a, "obs_names", [f"t{i}" for i in range(6)]),
        lambda a: setattr(a, "var_names", list("wxyz")),
        lambda a: a.uns["fit"].__setitem__("n", 4),
        lambda a: a.uns["fit"]["classes"].__setitem__(0, "b"),
        lambda a: a.uns.__setitem__("more", []),
    ],
)
def test_any_change_of_content_changes_the_digest(adata, change):
    before = of_value(adata)
    change(adata)
    assert of_value(adata) != before


def test_values_cannot_flow_into_one_another():
    told = [["ab", "c"], ["a", "bc"], ["abc"], [["ab"], "c"], {"ab": "c"}, "abc", None, [None], []]
    assert len({of_value(value) for value in told}) == len(told)
    assert of_value(np.zeros((2, 3))) != of_value(np.zeros((3, 2)))
    records = np.array([(1, "a")], dtype=[("n", "i4"), ("name", "O")])
    assert of_value(records) == of_value(records.copy())


def test_plain_values_stay_and_arrays_become_their_digest():
    assert plain({"a": (1, None, True), "b": {"c": np.float64(0.5)}}) == {
        "a": [1, None, True],
        "b": {"c": 0.5},
    }
    mask = np.array([True, False])
    assert plain(mask) == f"sha256:{of_value(mask)}"
    assert plain({"x", "a"}) == ["a", "x"]


def test_files_are_known_by_sha256(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert of_file(tmp_path / "empty") == empty
