"""Representations and classifiers compared by cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sigilla import keys
from sigilla.batches import Labels, read_labels, read_observations
from sigilla.errors import DataError, listed, require_count, require_jobs, unknown_name
from sigilla.logging import logger
from sigilla.target import target_of
from sigilla.tl._contenders import (
    CLASSIFIERS,
    NEAREST_CODE,
    Pair,
    Task,
    answers,
    check_configs,
    check_sizes,
    pairs_of,
)
from sigilla.tl._folds import Folds, deal, units_of
from sigilla.tl._parallel import run
from sigilla.tl._scores import Answers, summary
from sigilla.train import resolve_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.models import Config

    Indices = NDArray[np.intp]

_SPLITS = ("signatures", "perturbagens")


def classify(
    adata: AnnData,
    label_key: str = "pcl",
    *,
    representations: Sequence[str] = ("raw", "vae", "svqvae"),
    classifiers: Sequence[str] = CLASSIFIERS,
    split: Literal["both", "signatures", "perturbagens"] = "both",
    unit: str = "pert_id",
    n_splits: int = 5,
    configs: Mapping[str, Config] | None = None,
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    key_added: str = "classify",
    random_state: int = 0,
    n_jobs: int = 1,
    device: str = "auto",
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """How well classes are told, by which classifier on which representation.

    Each classifier is asked about signatures that neither it nor its representation was trained
    on: representations are learnt anew in every fold, once for all classifiers.

    Two questions have two answers, and both are given by default. A random split by signatures
    leaves other doses and replicates of a perturbagen in the training part: it says how well
    further wells of *known* perturbagens are told. A split by perturbagens leaves out all that a
    perturbagen has, with or without a label, as for a *new* perturbagen. A class of a single
    perturbagen cannot be asked about then; it stays among the classes that can be answered, and
    its signatures are counted apart and named in the log. What the leak is worth is therefore the
    difference of ``accuracy_common``, on the signatures that both splits ask about.

    Parameters
    ----------
    adata
        Signatures x genes. Those without a label train what needs none.
    label_key
        Column of ``obs`` with the classes.
    representations
        ``"raw"`` (the genes) and names of methods (:data:`sigilla.models.METHODS`): their latent,
        learnt inside the fold.
    classifiers
        ``"nearest_code"`` (for representations with one code per class),
        ``"logistic_regression"``, ``"linear_svm"`` (one class against the rest; without
        probabilities) and ``"lda"`` (Ledoit-Wolf shrinkage). The last three are scikit-learn's,
        on features standardised inside the fold; the penalties of the first two are in
        proportion to the number of features.
    split
        ``"signatures"`` (well by well), ``"perturbagens"`` (compound by compound), or ``"both"``.
    unit
        Column of ``obs`` with the perturbagen. An observation without a value is one of its own.
    n_splits
        Folds of each split. A class of two units or more has them in at least two folds.
    configs
        Options of methods by name, such as ``{"vae": sg.models.VAE.Config(n_latent=16)}``.
    layer
        Matrix to use in place of ``X``.
    use_rep
        Representation in ``obsm`` to use in place of ``X``. What it was learnt from is not left
        out.
    mask_var
        Genes to use: a boolean column of ``var``, or a mask.
    key_added
        Replaces ``"classify"`` in the names below.
    random_state
        Seed of folds and fits.
    n_jobs
        Folds at a time, each in a process of its own; -1 is one for every core.
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ...
    progress
        Show a bar of folds; ``None`` on a terminal or in a notebook only.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields; S splits, M pairs of representation and
    classifier, F folds, K classes. :func:`sigilla.get.classification` and
    :func:`sigilla.get.confusion` make tables of them.

    ``uns['classify']``
        ``splits`` (S), ``representation`` and ``classifier`` (M), ``classes`` (K);
        ``scores`` (each S x M x F) and ``pooled`` (each S x M, over all folds): ``accuracy``,
        ``balanced_accuracy`` (mean over classes), ``log_loss`` (natural; probabilities below
        1.2e-7 count as that), ``brier`` (summed over classes, 0 to 2) and ``calibration_error``
        (15 bins); ``pooled`` also has ``accuracy_low`` and ``accuracy_high``, a 95 % interval from
        1,000 draws of perturbagens, ``accuracy_common``, on the signatures that all splits ask
        about, and ``largest_class`` (S), the accuracy of always naming the largest class;
        ``confusion`` (S x M x K x K, true classes in rows); ``reliability`` (``confidence``,
        ``accuracy``, ``count``, each S x M x 10: at most 10 bins, of equal mass); ``n_asked``
        (S x K) signatures; ``n_units`` (S x K) perturbagens, or signatures; ``params``. NaN where
        a classifier has no probabilities.
    ``obs['classify_signatures']``, ``obs['classify_perturbagens']``
        The nearest code's class of each signature while it was left out (of the first
        representation that has codes); missing where it was not asked about.
    ``obs['classify_signatures_confidence']``, ``obs['classify_perturbagens_confidence']``
        Its probability.

    Raises
    ------
    KeyError
        A named column or matrix is not there.
    TypeError, ValueError
        An unknown representation, classifier or split, or an option outside its bounds.
    DataError
        Fewer than two classes, no class with two perturbagens, more folds than can be filled, NaN
        or infinite values.

    References
    ----------
    Xue, Ding & Lu 2020, npj Syst Biol Appl 6:35, doi 10.1038/s41540-020-00158-2 (classes from
    representations of LINCS signatures); Guo et al. 2017, arXiv:1706.04599 (calibration)

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.classify(adata, representations=["raw"], classifiers=["lda"], n_splits=2)
    >>> table = sg.get.classification(adata)
    >>> table[["split", "representation", "classifier"]].values.tolist()
    [['signatures', 'raw', 'lda'], ['perturbagens', 'raw', 'lda']]
    """
    pairs = pairs_of(representations, classifiers)
    splits = _splits(split)
    require_count("n_splits", n_splits, least=2)
    require_jobs(n_jobs, every=-1)
    keys.checked(key_added)
    configs = check_configs(configs, pairs)
    where = str(resolve_device(device))
    labels = read_labels(adata, label_key)
    units = _units(adata, unit, splits)
    seen = read_observations(adata, layer=layer, use_rep=use_rep, mask_var=mask_var)

    alone = np.arange(adata.n_obs)
    dealt = {
        name: _deal(labels, alone if name == "signatures" else units, name, n_splits, random_state)
        for name in splits
    }
    each = [(folds, f) for folds in dealt.values() for f in range(n_splits)]
    check_sizes(pairs, (labels.index[folds.training(f)] for folds, f in each))
    _say_what_is_not_asked(dealt, labels, unit)
    # Made one after the other: each has a copy of most of the data.
    jobs = (
        Task(
            seen.x[folds.training(f)],
            labels.index[folds.training(f)],
            seen.x[folds.test(f)],
            len(labels.classes),
            pairs,
            configs,
            random_state,
            where,
        )
        for folds, f in each
    )
    options = {"n_jobs": n_jobs, "progress": progress, "title": "classify"}
    done = list(run(answers, jobs, total=len(each), **options))
    found = {
        name: [
            _collect([fold[m] for fold in done[s * n_splits : (s + 1) * n_splits]], folds, labels)
            for m in range(len(pairs))
        ]
        for s, (name, folds) in enumerate(dealt.items())
    }

    given: dict[str, Any] = {
        "label_key": label_key,
        "unit": unit,
        "n_splits": n_splits,
        "layer": layer,
        "use_rep": use_rep,
        "random_state": random_state,
    }
    stored = {
        "splits": np.array(splits, dtype=object),
        "representation": np.array([p.representation for p in pairs], dtype=object),
        "classifier": np.array([p.classifier for p in pairs], dtype=object),
        "classes": np.array(labels.classes, dtype=object),
        **summary(list(found.values()), units, len(labels.classes), random_state),
        "n_units": np.stack([folds.units_per_class for folds in dealt.values()]),
        "params": {name: value for name, value in given.items() if value is not None},
    }
    target = target_of(adata, copy=copy)
    for name in splits:
        _write_obs(target, keys.held_out(key_added, name), pairs, found[name], labels)
    target.uns[key_added] = stored
    return target if copy else None


# -- what is asked for -------------------------------------------------------------------------


def _splits(split: str) -> tuple[str, ...]:
    if split not in ("both", *_SPLITS):
        raise ValueError(unknown_name("split", split, ("both", *_SPLITS)))
    return _SPLITS if split == "both" else (split,)


def _units(adata: AnnData, unit: str, splits: tuple[str, ...]) -> Indices:
    if "perturbagens" not in splits and unit not in adata.obs:
        return np.arange(adata.n_obs)
    try:
        return units_of(adata, unit)
    except KeyError as error:
        raise KeyError(
            f"{error.args[0]}. Without perturbagens only split='signatures' can be asked for"
        ) from None


def _deal(labels: Labels, unit: Indices, name: str, n_splits: int, random_state: int) -> Folds:
    try:
        return deal(labels.index, unit, len(labels.classes), n_splits, random_state)
    except DataError as error:
        raise DataError(f"split={name!r}: {error}") from None


def _say_what_is_not_asked(dealt: Mapping[str, Folds], labels: Labels, unit: str) -> None:
    for name, folds in dealt.items():
        kept = (labels.index >= 0) & ~folds.asked
        if kept.any():
            which = [labels.classes[k] for k in np.unique(labels.index[kept])]
            logger.warning(
                "split by %s: %d of %d signatures are trained on but not asked about, as their %d "
                "classes have a single %s: %s",
                name,
                kept.sum(),
                (labels.index >= 0).sum(),
                len(which),
                "signature" if name == "signatures" else f"value of obs[{unit!r}]",
                listed(which),
            )


def _collect(parts: list[Any], folds: Folds, labels: Labels) -> Answers:
    """A pair's answers of all folds, in the order of ``adata``."""
    n, k = len(labels.index), len(labels.classes)
    predicted = np.full(n, -1)
    probability = np.full((n, k), np.nan)
    for f, (classes, p) in enumerate(parts):
        predicted[folds.test(f)] = classes
        if p is not None:
            probability[folds.test(f)] = p
    return Answers(labels.index, predicted, probability, np.where(folds.asked, folds.left_out, -1))


def _write_obs(
    adata: AnnData, key: str, pairs: list[Pair], found: list[Answers], labels: Labels
) -> None:
    for pair, given in zip(pairs, found, strict=True):
        if pair.classifier == NEAREST_CODE:
            adata.obs[key] = pd.Categorical.from_codes(given.predicted, categories=labels.classes)
            adata.obs[keys.confidence(key)] = given.confidence
            return
