"""How plots name what :func:`sigilla.tl.classify` compared."""

from __future__ import annotations

_REPRESENTATIONS = {"raw": "genes", "vae": "VAE", "vqvae": "VQ-VAE", "svqvae": "S-VQ-VAE"}
_CLASSIFIERS = {
    "nearest_code": "nearest code",
    "logistic_regression": "logistic regression",
    "linear_svm": "linear SVM",
    "lda": "shrinkage LDA",
}
_LEFT_OUT = {"signatures": "single wells left out", "perturbagens": "whole compounds left out"}


def contender_name(representation: str, classifier: str) -> str:
    """As in "nearest code, S-VQ-VAE"."""
    return (
        f"{_CLASSIFIERS.get(classifier, classifier)}, "
        f"{_REPRESENTATIONS.get(representation, representation)}"
    )


def split_name(split: str) -> str:
    """What was left out."""
    return _LEFT_OUT.get(split, split)
