"""Drug -> target ranking: ranks by hand, by brute force, and by chance."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

import sigilla as sg
from sigilla.errors import DataError
from sigilla.tl import _neighbours

GENES = [f"g{i}" for i in range(25)]
TARGETS = {"d0": ["T0", "T1"], "d1": ["T2"], "d2": ["unheard of"], "d3": ["T3"]}


@pytest.fixture
def drugs():
    rng = np.random.default_rng(0)
    names = ["d0", "d1", "d0", "d2", None, "d1", "d0"]
    return ad.AnnData(
        rng.normal(size=(7, 25)).astype(np.float32),
        pd.DataFrame({"pert_iname": names}, index=[f"s{i}" for i in range(7)]),
        pd.DataFrame(index=GENES),
    )


@pytest.fixture
def knockdowns():
    rng = np.random.default_rng(1)
    return ad.AnnData(
        rng.normal(size=(60, 25)).astype(np.float32),
        pd.DataFrame(
            {"gene": [f"T{i % 20}" for i in range(60)]}, index=[f"kd{i}" for i in range(60)]
        ),
        pd.DataFrame(index=GENES),
    )


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_ranks_are_those_of_a_full_sort(drugs, knockdowns, metric, monkeypatch):
    monkeypatch.setattr(_neighbours, "_BLOCK_VALUES", 120)  # two signatures at a time
    found = sg.tl.rank_targets(
        drugs, knockdowns, targets=TARGETS, gene_key="gene", metric=metric, per_signature=True
    ).set_index("signature")
    assert found.index.tolist() == ["s0", "s1", "s2", "s5", "s6"]
    order = np.argsort(cdist(drugs.X, knockdowns.X, metric), axis=1)
    for name, row in found.iterrows():
        genes = knockdowns.obs["gene"].to_numpy()[order[drugs.obs_names.get_loc(name)]]
        first = np.flatnonzero(np.isin(genes, TARGETS[row["drug"]]))[0]
        assert row["rank"] == first
        assert row["target"] == genes[first]


def test_drugs_are_summed_up_and_those_without_a_rank_say_why(drugs, knockdowns):
    per_signature = sg.tl.rank_targets(
        drugs, knockdowns, targets=TARGETS, gene_key="gene", per_signature=True
    )
    found = sg.tl.rank_targets(drugs, knockdowns, targets=TARGETS, gene_key="gene")
    found = found.set_index("drug")
    ranks = per_signature.groupby("drug")["rank"]
    for drug in ["d0", "d1"]:
        assert found.loc[drug, "mean_rank"] == ranks.get_group(drug).mean()
        assert found.loc[drug, "median_rank"] == ranks.get_group(drug).median()
        assert found.loc[drug, "best_rank"] == ranks.get_group(drug).min()
    assert found.loc[["d0", "d1", "d2", "d3"], "n_signatures"].tolist() == [3, 2, 1, 0]
    assert found.loc[["d0", "d1", "d2", "d3"], "n_knockdowns"].tolist() == [6, 3, 0, 3]
    assert found.loc[["d0", "d1"], "missing"].tolist() == ["", ""]
    assert found.loc["d2", "missing"] == "no knock-down of a target"
    assert found.loc["d3", "missing"] == "no signature of the drug"
    assert found.loc[["d2", "d3"], "mean_rank"].isna().all()
    assert found["mean_rank"].dropna().is_monotonic_increasing


def test_noise_ranks_as_chance_says_and_a_real_target_first(knockdowns):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 25)).astype(np.float32)
    x[300:] = knockdowns.X[5] + 0.3 * x[300:]
    drugs = ad.AnnData(
        x,
        pd.DataFrame(
            {"pert_iname": np.repeat(["noise", "hits T5"], 300)},
            index=[f"s{i}" for i in range(600)],
        ),
        knockdowns.var,
    )
    found = sg.tl.rank_targets(
        drugs, knockdowns, targets={"noise": ["T5"], "hits T5": ["T5"]}, gene_key="gene"
    ).set_index("drug")
    assert found.loc["hits T5", "mean_rank"] == 0
    assert found.loc["noise", "expected_rank"] == (60 - 3) / 4
    assert found.loc["noise", "mean_rank"] == pytest.approx(57 / 4, rel=0.15)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"drug_key": "name"}, KeyError, "drug_key='name'"),
        ({}, KeyError, "gene_key='pert_iname'"),
        ({"gene_key": "gene", "metric": "x"}, ValueError, "metric='x'"),
        (
            {"gene_key": "gene", "targets": {"aspirin": ["T1"]}},
            DataError,
            "targets names 'aspirin'",
        ),
        ({"gene_key": "gene", "targets": {}}, DataError, "no drug of targets"),
    ],
)
def test_wrong_options_are_named(drugs, knockdowns, options, error, message):
    with pytest.raises(error, match=message):
        sg.tl.rank_targets(drugs, knockdowns, **{"targets": TARGETS, **options})
