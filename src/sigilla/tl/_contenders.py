"""What is compared in cross-validation: representations, and classifiers on each of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from sigilla.errors import DataError, unknown_name
from sigilla.logging import logger
from sigilla.models import METHODS
from sigilla.tl._store import embed
from sigilla.train import fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from sigilla.models import Config

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]

RAW = "raw"
NEAREST_CODE = "nearest_code"
CLASSIFIERS = (NEAREST_CODE, "logistic_regression", "linear_svm", "lda")


def has_codes(representation: str) -> bool:
    """Whether a representation has one code per class."""
    method = METHODS.get(representation)
    return method is not None and method.has_codes and method.uses_labels


@dataclass(frozen=True, slots=True)
class Pair:
    """A classifier on a representation."""

    representation: str
    classifier: str


def pairs_of(representations: Sequence[str], classifiers: Sequence[str]) -> list[Pair]:
    """Every classifier on every representation it can work on, after a look at the names."""
    known = {"representations": (RAW, *METHODS), "classifiers": CLASSIFIERS}
    given = {"representations": representations, "classifiers": classifiers}
    chosen = {}
    for argument, value in given.items():
        names = [value] if isinstance(value, str) else list(value)
        for name in names:
            if name not in known[argument]:
                raise ValueError(unknown_name(argument, name, known[argument]))
        chosen[argument] = tuple(dict.fromkeys(names))
    pairs = [
        Pair(r, c)
        for r in chosen["representations"]
        for c in chosen["classifiers"]
        if c != NEAREST_CODE or has_codes(r)
    ]
    if not pairs:
        raise ValueError(
            f"representations={list(representations)!r} with classifiers={list(classifiers)!r} "
            "leave nothing to compare; 'nearest_code' needs a method with one code per class, "
            "such as 'svqvae'"
        )
    return pairs


def check_configs(configs: Mapping[str, Config] | None, pairs: list[Pair]) -> Mapping[str, Config]:
    """Options of methods that are compared, of the right kind."""
    if configs is None:
        return {}
    if not isinstance(configs, Mapping):
        raise TypeError(
            f"configs={configs!r} must name the method of each Config, such as"
            ' {"vae": sg.models.VAE.Config(n_latent=16)}'
        )
    learnt = {p.representation for p in pairs} - {RAW}
    for name, config in configs.items():
        if name not in learnt:
            raise ValueError(unknown_name("configs", name, sorted(learnt)))
        wanted = METHODS[name].Config
        if not isinstance(config, wanted):
            raise TypeError(
                f"configs[{name!r}] is a {type(config).__name__}; pass "
                f"sg.models.{METHODS[name].__name__}.Config(...)"
            )
    return configs


def check_sizes(pairs: list[Pair], training: Iterable[Indices]) -> None:
    """Refuse LDA where the labels of a training part (-1: none) give it nothing to work on."""
    if all(pair.classifier != "lda" for pair in pairs):
        return
    for label in training:
        if (np.bincount(label[label >= 0]) > 1).sum() < 2:
            raise DataError(
                "classifiers: 'lda' needs two classes of two signatures in every training part; "
                "lower n_splits, or leave it out"
            )


@dataclass(frozen=True, slots=True)
class Task:
    """One fold: what is learnt from, ``label`` -1 where nobody knows, and what is asked."""

    x: NDArray[np.float32]
    label: Indices
    asked: NDArray[np.float32]
    n_classes: int
    pairs: list[Pair]
    configs: Mapping[str, Config]
    random_state: int
    device: str


def answers(task: Task) -> list[tuple[Indices, Floats | None]]:
    """Predicted class, and probabilities (asked x K) where there are any, of each pair.

    A representation is learnt once, from the fold's own observations, and shared.
    """
    # Classes that this fold has never seen would only be codes and columns of nothing.
    present, label = np.unique(task.label[task.label >= 0], return_inverse=True)
    known = np.full(len(task.label), -1)
    known[task.label >= 0] = label
    spaces: dict[str, _Space] = {}
    found = []
    for pair in task.pairs:
        if pair.representation not in spaces:
            spaces[pair.representation] = _learn(task, pair.representation, known, len(present))
        space = spaces[pair.representation]
        if pair.classifier == NEAREST_CODE and space.probability is not None:
            predicted, probability = space.probability.argmax(axis=1), space.probability
        else:
            seen = known >= 0
            predicted, probability = _classify(
                pair.classifier, space.training[seen], known[seen], space.asked
            )
        found.append((present[predicted], _spread(probability, present, task.n_classes)))
    return found


@dataclass(frozen=True, slots=True)
class _Space:
    training: NDArray[np.float32]
    asked: NDArray[np.float32]
    probability: Floats | None = None


def _learn(task: Task, representation: str, label: Indices, n_classes: int) -> _Space:
    if representation == RAW:
        return _Space(task.x, task.asked)
    method = METHODS[representation]
    model = method(
        task.configs.get(representation),
        n_features=task.x.shape[1],
        classes=[str(k) for k in range(n_classes)] if method.uses_labels else (),
        seed=task.random_state,
    )
    fit(
        model,
        task.x,
        label if method.uses_labels else None,
        random_state=task.random_state,
        device=task.device,
        progress=False,
    )
    asked = embed(model, task.asked)
    probability = None
    if has_codes(representation):
        probability = softmax(-asked["distances"].astype(np.float64), axis=1)
    return _Space(embed(model, task.x)["latent"], asked["latent"], probability)


def _classify(
    name: str, x: NDArray[np.float32], label: Indices, asked: NDArray[np.float32]
) -> tuple[Indices, Floats | None]:
    """Class indices and, of classifiers that have them, probabilities of all classes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    n_classes = label.max() + 1
    if name == "lda":
        # A covariance needs two observations.
        enough = np.bincount(label)[label] > 1
        x, label = x[enough], label[enough]
    scaler = StandardScaler().fit(x.astype(np.float64))
    model = _made(name, x.shape[1])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(scaler.transform(x), label)
    if said:
        logger.warning("%s: %s", name.replace("_", " "), said[0].message)
    asked = scaler.transform(asked)
    predicted = model.predict(asked)
    if not hasattr(model, "predict_proba"):
        return predicted, None
    return predicted, _spread(model.predict_proba(asked), model.classes_, n_classes)


def _made(name: str, n_features: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    # The variance of a score grows with the number of standardised features: a penalty that grows
    # with it regularises wide and narrow representations alike.
    if name == "logistic_regression":
        return LogisticRegression(C=30 / n_features, max_iter=1000, tol=1e-3)
    if name == "linear_svm":
        return LinearSVC(C=1 / n_features, dual="auto", max_iter=10_000, random_state=0)
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def _spread(probability: Floats | None, present: Indices, n_classes: int) -> Floats | None:
    """Columns of the classes that are there among columns of all; the others have 0."""
    if probability is None:
        return None
    wide = np.zeros((len(probability), n_classes))
    wide[:, present] = probability
    return wide
