"""What is given to a verb in place of an AnnData, and what a verb looks like from outside."""

from __future__ import annotations

import inspect
import pickle
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sigilla as sg

VERBS = [
    f"{face}.{name}"
    for face in ("tl", "pp", "get", "pl")
    for name in getattr(sg, face).__all__
    if inspect.isfunction(getattr(getattr(sg, face), name))
]


def verb(name):
    face, _, leaf = name.partition(".")
    return getattr(getattr(sg, face), leaf)


def required(name):
    """The arguments that must be given, with a value that stands for nothing."""
    parameters = inspect.signature(verb(name)).parameters.values()
    return {p.name: p for p in parameters if p.default is p.empty}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("wrong", [None, pd.DataFrame({"g": [1.0]}), "plate.h5ad"])
def test_what_is_no_anndata_is_named_before_anything_else(name, wrong):
    given = dict.fromkeys(required(name), ad.AnnData(np.zeros((2, 2))))
    meant = [n for n, p in required(name).items() if "AnnData" in p.annotation.split(".")]
    assert meant
    for argument in meant:
        told = rf"\w+\.\w+: {argument} is {type(wrong).__name__}, not an AnnData; wrap an array"
        with pytest.raises(TypeError, match=told):
            verb(name)(**given | {argument: wrong})
    first, *rest = given
    if first in meant:
        with pytest.raises(TypeError, match=f"{first} is {type(wrong).__name__}, not an AnnData"):
            verb(name)(wrong, **{n: given[n] for n in rest})


def test_an_anndata_that_may_be_left_out_may_also_be_none_but_nothing_else():
    adata = sg.datasets.simulate_lincs(n_classes=2, n_genes=10)
    assert len(sg.tl.judge_generated(adata, adata, held_out=None)) == 3
    with pytest.raises(TypeError, match=r"tl\.judge_generated: held_out is ndarray"):
        sg.tl.judge_generated(adata, adata, held_out=adata.X)


@pytest.mark.parametrize("name", [name for name in VERBS if not name.startswith("pl")])
def test_a_verb_can_be_sent_to_another_process(name):
    assert pickle.loads(pickle.dumps(verb(name))) is verb(name)


@pytest.mark.parametrize("name", ["pp.influential_features", "tl.ifpca"])
def test_warnings_point_to_the_line_of_the_user(name):
    counts = np.random.default_rng(0).poisson(5, size=(30, 50)).astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        verb(name)(ad.AnnData(counts))
    assert {w.filename for w in caught if "whole numbers" in str(w.message)} == {__file__}
