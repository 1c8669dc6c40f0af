"""Every key that sigilla writes into an AnnData is built here and nowhere else.

A verb's ``key`` (its name, or ``key_added``) names everything it stores::

    obs[key]                  nearest code (category), or cluster
    obs[confidence(key)]      probability of that code, 0..1
    obsm[latent(key)]         latent before quantisation      n x d
    obsm[codes(key)]          embedding of the nearest code   n x d
    obsm[distances(key)]      squared distances to the codes  n x K
    varm[prototypes(key)]     decoded codes                   genes x K
    uns[key]                  everything else
"""

from __future__ import annotations


def checked(key: str, argument: str = "key_added") -> str:
    """A key that files can hold.

    Examples
    --------
    >>> checked("svqvae")
    'svqvae'
    """
    if not key:
        raise ValueError(f"{argument}={key!r} must be a name")
    if "/" in key:
        raise ValueError(f"{argument}={key!r}: a slash would make it a path in files; leave it out")
    return key


def latent(key: str) -> str:
    """The ``obsm`` key of the continuous latent."""
    return f"X_{key}"


def codes(key: str) -> str:
    """The ``obsm`` key of each observation's nearest code."""
    return f"{key}_codes"


def distances(key: str) -> str:
    """The ``obsm`` key of the distances to every code."""
    return f"{key}_distances"


def confidence(key: str) -> str:
    """The ``obs`` key of the nearest code's probability."""
    return f"{key}_confidence"


def prototypes(key: str) -> str:
    """The ``varm`` key of the decoded codes."""
    return f"{key}_prototypes"


def if_score(key: str) -> str:
    """The ``var`` key of the score behind an influential-feature mask."""
    return "if_score" if key == "influential" else f"{key}_score"


def if_pvalue(key: str) -> str:
    """The ``var`` key of the p-value behind an influential-feature mask."""
    return "if_pvalue" if key == "influential" else f"{key}_pvalue"


def quality(key: str, measure: str) -> str:
    """The ``obs`` key of a measure of signature quality."""
    return measure if key == "signature_quality" else f"{key}_{measure}"


def held_out(key: str, split: str) -> str:
    """The ``obs`` key of the class that cross-validation by a split gave while left out."""
    return f"{key}_{split}"


def unknown(key: str) -> str:
    """The ``obs`` key of whether a signature belongs to no class, and the ``uns`` key of how."""
    return f"{key}_unknown"


def unknown_pvalue(key: str) -> str:
    """The ``obs`` key of the p-value behind it."""
    return f"{key}_unknown_pvalue"
