"""Scanpy-style verbs: they read an AnnData, call a model, and write the result back.

Every method in :data:`sigilla.models.METHODS` is a verb of the same name.
"""

from __future__ import annotations

from sigilla.models import METHODS
from sigilla.target import guard
from sigilla.tl._calibrate import calibrate
from sigilla.tl._class_enrichment import class_enrichment
from sigilla.tl._classify import classify
from sigilla.tl._code_correlation import code_correlation
from sigilla.tl._connectivity import connectivity
from sigilla.tl._fit import verb
from sigilla.tl._gene_sets import gene_sets
from sigilla.tl._generate import generate
from sigilla.tl._ifpca import ifpca
from sigilla.tl._ifvae import ifvae
from sigilla.tl._judge_generated import judge_generated
from sigilla.tl._map_query import map_query
from sigilla.tl._mark_unknown import mark_unknown
from sigilla.tl._rank_targets import rank_targets
from sigilla.tl._retrieve import retrieve

# A new method is a verb by being registered; editors and mypy read the names in __init__.pyi,
# which scripts/stubs.py writes from the same registry.
globals().update({name: verb(method) for name, method in METHODS.items()})

__all__ = [  # noqa: PLE0604 - the registry's keys are strings
    "calibrate",
    "class_enrichment",
    "classify",
    "code_correlation",
    "connectivity",
    "gene_sets",
    "generate",
    "ifpca",
    "ifvae",
    "judge_generated",
    "map_query",
    "mark_unknown",
    "rank_targets",
    "retrieve",
    *METHODS,
]

guard(globals())
