"""How often the nearest code is right on observations the model has not seen, beside baselines."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from sigilla import get, tl
from sigilla.batches import read_observations
from sigilla.logging import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from pandas.core.groupby.generic import SeriesGroupBy

N_FOLDS = 5
# A class with fewer observations than folds is trained on, but never asked about.
MIN_SIZE = N_FOLDS
# Up to here all folds are fitted; beyond, one fold of 200 or more tells enough.
ALL_FOLDS_UP_TO = 1000
# What tells compounds apart, the better column first.
PERTURBAGEN_KEYS = ("pert_id", "pert_iname")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A method's share of right answers, with a 95 % interval (Wilson)."""

    method: str
    value: float
    low: float
    high: float
    per_class: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What was measured, on how many, and how; ``by_class`` holds the accuracy of each class."""

    accuracies: tuple[Accuracy, ...]
    n: int
    n_splits: int
    n_classes: int
    small: tuple[str, ...]
    by_class: pd.DataFrame
    shared_perturbagens: float | None


def held_out(
    adata: AnnData, key: str, *, n_splits: int | None, random_state: int, progress: bool | None
) -> HeldOut | str:
    """Refit without some observations and ask about them; or the reason why that cannot be done."""
    stored = adata.uns[key]
    label_key = stored["params"].get("label_key")
    if n_splits == 0:
        return "It was not asked for (n_splits=0)."
    if label_key is None:
        return "The model was not fitted to labels of these observations."
    data = _labelled(adata, key, str(label_key))
    label = data.obs["label"].astype("string")
    size = label.value_counts()
    enough = size.index[size >= MIN_SIZE]
    if len(enough) < 2:
        return f"Fewer than two classes have {MIN_SIZE} or more observations."
    asked = np.flatnonzero(label.isin(enough).to_numpy(dtype=bool, na_value=False))
    splits = n_splits or (N_FOLDS if len(asked) <= ALL_FOLDS_UP_TO else 1)
    logger.info("Measuring held-out accuracy: %d refit(s) on %d observations", splits, data.n_obs)
    config = dataclasses.asdict(get.model(adata, key).config)
    answers = [
        _one_fold(data, fold, str(stored["method"]), config, random_state, progress)
        for fold in _folds(label, asked, splits, random_state)
    ]
    return _summary(pd.concat(answers), splits, len(enough), tuple(size.index[size < MIN_SIZE]))


def _labelled(adata: AnnData, key: str, label_key: str) -> AnnData:
    """What the model saw, as a small AnnData: its matrix, the label, and the perturbagen."""
    params = adata.uns[key]["params"]
    seen = read_observations(
        adata, layer=_text(params.get("layer")), use_rep=_text(params.get("use_rep"))
    )
    used = [seen.names.index(gene) for gene in _genes(adata.uns[key], seen.names)]
    obs = pd.DataFrame({"label": adata.obs[label_key].astype("string").to_numpy(dtype=object)})
    obs["label"] = pd.Categorical(obs["label"].replace({"": None, pd.NA: None}))
    for column in PERTURBAGEN_KEYS:
        if column in adata.obs:
            obs["perturbagen"] = adata.obs[column].astype("string").to_numpy(dtype=object)
            break
    obs.index = obs.index.astype(str)
    var = pd.DataFrame(index=[seen.names[i] for i in used])
    return AnnData(np.ascontiguousarray(seen.x[:, used]), obs=obs, var=var)


def _genes(stored: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    known = set(names)
    return [gene for gene in map(str, stored["genes"]) if gene in known]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _folds(
    label: pd.Series, asked: NDArray[np.intp], n_splits: int, random_state: int
) -> list[NDArray[np.intp]]:
    """Positions to hold out: parts of ``asked`` with the same mix of classes."""
    from sklearn.model_selection import StratifiedKFold

    by_class = StratifiedKFold(N_FOLDS, shuffle=True, random_state=random_state)
    parts = by_class.split(np.zeros(len(asked)), label.iloc[asked].to_numpy(dtype=str))
    return [asked[test] for _, test in parts][:n_splits]


def _one_fold(
    data: AnnData,
    test: NDArray[np.intp],
    method: str,
    config: dict[str, Any],
    random_state: int,
    progress: bool | None,
) -> pd.DataFrame:
    """True class and every method's answer for each observation of ``test``."""
    rest = np.setdiff1d(np.arange(data.n_obs), test)
    training, query = data[rest].copy(), data[test].copy()
    fit = getattr(tl, method)
    fit(training, "label", key_added="fit", random_state=random_state, progress=progress, **config)
    tl.map_query(query, training, key="fit")
    has_label = training.obs["label"].notna().to_numpy()
    x, y = training.X[has_label], training.obs["label"][has_label].to_numpy(dtype=str)
    answers = {
        "truth": query.obs["label"].to_numpy(dtype=str),
        _nearest_code(method): query.obs["fit"].to_numpy(dtype=str),
        "shrinkage LDA": _shrinkage_lda(x, y, query.X),
        "nearest class mean": _nearest_mean(x, y, query.X),
        "always the largest class": np.full(query.n_obs, pd.Series(y).mode()[0]),
    }
    table = pd.DataFrame(answers)
    if "perturbagen" in data.obs:
        known = set(training.obs["perturbagen"][has_label])
        table["known"] = [p in known for p in query.obs["perturbagen"]]
    return table


def _nearest_code(method: str) -> str:
    from sigilla.models import METHODS

    return f"{METHODS[method].title}, nearest code"


def _shrinkage_lda(
    x: NDArray[np.float32], y: NDArray[np.str_], query: NDArray[np.float32]
) -> NDArray[np.str_]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    # A covariance needs two observations; a class with one is never asked about.
    size = pd.Series(y).value_counts()
    enough = size[y].to_numpy() > 1
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return lda.fit(x[enough].astype(np.float64), y[enough]).predict(query.astype(np.float64))


def _nearest_mean(
    x: NDArray[np.float32], y: NDArray[np.str_], query: NDArray[np.float32]
) -> NDArray[np.str_]:
    from scipy.spatial.distance import cdist

    names = np.unique(y)
    means = np.stack([x[y == name].mean(axis=0) for name in names])
    return names[cdist(query, means).argmin(axis=1)]


def _summary(
    answers: pd.DataFrame, n_splits: int, n_classes: int, small: tuple[str, ...]
) -> HeldOut:
    truth = answers["truth"]
    methods = [c for c in answers if c not in {"truth", "known"}]
    right = answers[methods].eq(truth, axis=0)
    by_class = right.groupby(truth).mean()
    return HeldOut(
        accuracies=tuple(
            Accuracy(m, *_share(int(right[m].sum()), len(truth)), float(by_class[m].mean()))
            for m in methods
        ),
        n=len(truth),
        n_splits=n_splits,
        n_classes=n_classes,
        small=small,
        by_class=_own_by_class(right[methods[0]].groupby(truth)),
        shared_perturbagens=float(answers["known"].mean()) if "known" in answers else None,
    )


def _own_by_class(right: SeriesGroupBy) -> pd.DataFrame:
    """``n``, ``value``, ``low`` and ``high`` of the nearest code."""
    found = {name: (len(one), *_share(int(one.sum()), len(one))) for name, one in right}
    return pd.DataFrame.from_dict(found, orient="index", columns=["n", "value", "low", "high"])


def _share(right: int, n: int) -> tuple[float, float, float]:
    """Share of right answers and its 95 % interval (Wilson)."""
    from scipy.stats import binomtest

    low, high = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return right / n, float(low), float(high)
