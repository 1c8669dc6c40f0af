from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

_SCORES = ("accuracy", "balanced_accuracy", "log_loss", "brier", "calibration_error")
_POOLED = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "accuracy_common",
    "balanced_accuracy",
    "log_loss",
    "brier",
    "calibration_error",
)


def classification(adata: AnnData, key: str = "classify", *, by_fold: bool = False) -> pd.DataFrame:
    """How well :func:`sigilla.tl.classify` found classes told, a row for each contender.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.classify` was run on.
    key
        Name of the result.
    by_fold
        A row for each fold in place of all folds together.

    Returns
    -------
    Columns ``split``, ``representation``, ``classifier``; ``n``, signatures asked about;
    ``accuracy`` with ``accuracy_low`` and ``accuracy_high`` (95 %, from draws of perturbagens);
    ``accuracy_common``, the accuracy on the signatures that all splits ask about, which is what
    splits can be compared by; ``balanced_accuracy``, ``log_loss``, ``brier``,
    ``calibration_error`` (NaN without probabilities); ``largest_class``, the accuracy of always
    naming the largest class. By fold: ``fold``, and the scores alone.

    Raises
    ------
    KeyError
        Nothing of the kind is stored under ``key``.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.classify(adata, representations=["raw"], classifiers=["lda"], n_splits=2)
    >>> sg.get.classification(adata, by_fold=True)["fold"].tolist()
    [0, 1, 0, 1]
    """
    stored = _result(adata, key)
    splits, representation, classifier = _names(stored)
    n_asked = np.asarray(stored["n_asked"]).sum(axis=1)
    scores = stored["scores"] if by_fold else stored["pooled"]
    rows = []
    for s, split in enumerate(splits):
        for m in range(len(classifier)):
            named = {
                "split": split,
                "representation": representation[m],
                "classifier": classifier[m],
            }
            if by_fold:
                values = {name: np.asarray(scores[name])[s, m] for name in _SCORES}
                folds = range(len(values["accuracy"]))
                rows += [
                    named | {"fold": f} | {name: v[f] for name, v in values.items()} for f in folds
                ]
            else:
                values = {name: np.asarray(scores[name])[s, m] for name in _POOLED}
                largest = np.asarray(scores["largest_class"])[s]
                rows.append(named | {"n": n_asked[s]} | values | {"largest_class": largest})
    return pd.DataFrame(rows)


def confusion(
    adata: AnnData,
    key: str = "classify",
    *,
    split: str | None = None,
    representation: str | None = None,
    classifier: str | None = None,
    normalize: bool = False,
) -> pd.DataFrame:
    """Which classes were taken for which while they were left out.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.classify` was run on.
    key
        Name of the result.
    split
        ``"signatures"`` or ``"perturbagens"``; ``None`` takes the latter where it is there.
    representation, classifier
        Which contender; ``None`` takes the nearest code where it is there, else the first one that
        fits.
    normalize
        Shares of each true class in place of numbers; NaN for a class that was not asked about.

    Returns
    -------
    Classes x classes: true ones in rows, predicted ones in columns.

    Raises
    ------
    KeyError
        Nothing of the kind is stored under ``key``.
    ValueError
        No such split or contender.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.classify(adata, representations=["raw"], classifiers=["lda"], n_splits=2)
    >>> int(sg.get.confusion(adata).to_numpy().sum())
    360
    """
    stored = _result(adata, key)
    s, m = contender(stored, split, representation, classifier)
    names = [str(name) for name in stored["classes"]]
    table = pd.DataFrame(
        np.asarray(stored["confusion"])[s, m],
        index=pd.Index(names, name="true"),
        columns=pd.Index(names, name="predicted"),
    )
    if not normalize:
        return table
    asked = table.sum(axis=1)
    return table.div(asked.where(asked > 0), axis=0)


def calibration(adata: AnnData, key: str = "classify") -> pd.DataFrame:
    """Whether confidences came true, for all contenders that have probabilities.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.classify` was run on.
    key
        Name of the result.

    Returns
    -------
    A row for each bin of equally many answers: ``split``, ``representation``, ``classifier``,
    ``confidence`` (mean), ``accuracy`` (share of right answers) and ``count``.

    Raises
    ------
    KeyError
        Nothing of the kind is stored under ``key``.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger 2017, ICML (arXiv:1706.04599)

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.classify(adata, representations=["raw"], classifiers=["lda"], n_splits=2)
    >>> sg.get.calibration(adata).groupby("split")["count"].sum().tolist()
    [360, 360]
    """
    stored = _result(adata, key)
    splits, representation, classifier = _names(stored)
    curve = {name: np.asarray(value) for name, value in stored["reliability"].items()}
    s, m, b = np.nonzero(curve["count"])
    return pd.DataFrame(
        {
            "split": np.array(splits, dtype=object)[s],
            "representation": np.array(representation, dtype=object)[m],
            "classifier": np.array(classifier, dtype=object)[m],
            **{name: curve[name][s, m, b] for name in ("confidence", "accuracy", "count")},
        }
    )


def contender(
    stored: Mapping[str, Any],
    split: str | None = None,
    representation: str | None = None,
    classifier: str | None = None,
) -> tuple[int, int]:
    """Positions of a split and of a pair of representation and classifier; defaults for None."""
    splits, representations, classifiers = _names(stored)
    for argument, value, known in (
        ("split", split, splits),
        ("representation", representation, representations),
        ("classifier", classifier, classifiers),
    ):
        if value is not None and value not in known:
            raise ValueError(unknown_name(argument, value, dict.fromkeys(known)))
    fitting = [
        m
        for m, (r, c) in enumerate(zip(representations, classifiers, strict=True))
        if representation in (None, r) and classifier in (None, c)
    ]
    if not fitting:
        raise ValueError(f"no {classifier!r} on {representation!r} was compared")
    first = next((m for m in fitting if classifiers[m] == "nearest_code"), fitting[0])
    return splits.index(split or splits[-1]), first


def _result(adata: AnnData, key: str) -> Mapping[str, Any]:
    stored = adata.uns.get(key)
    if not hasattr(stored, "keys") or not {"confusion", "splits", "scores"} <= set(stored):
        call = "" if key == "classify" else f", key_added={key!r}"
        raise KeyError(
            f"key={key!r} holds no classification in adata.uns; run "
            f"sg.tl.classify(adata, label_key{call}) first"
        )
    return stored


def _names(stored: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    splits, representation, classifier = (
        [str(name) for name in stored[field]]
        for field in ("splits", "representation", "classifier")
    )
    return splits, representation, classifier
