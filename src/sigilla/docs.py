"""Signatures and parameter docs made from a Config, so that each option is written once."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


def options(config: type) -> list[inspect.Parameter]:
    """The fields of a Config as keyword-only parameters, the method's own before the common ones.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(kw_only=True)
    ... class Config:
    ...     n_latent: int = 8
    >>> [str(p) for p in options(Config)]
    ['n_latent: int = 8']
    """
    hints = get_type_hints(config)
    common = {f for base in config.__mro__[1:] for f in getattr(base, "__annotations__", {})}
    fields = sorted(dataclasses.fields(config), key=lambda f: f.name in common)
    return [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
        )
        for f in fields
    ]


def flat_signature(function: Callable[..., Any], config: type) -> inspect.Signature:
    """The signature of ``function`` with its ``**options`` replaced by the fields of ``config``."""
    given = inspect.signature(function)
    kinds = inspect.Parameter
    own = [p for p in given.parameters.values() if p.kind is not kinds.VAR_KEYWORD]
    front = [p for p in own if p.kind is kinds.POSITIONAL_OR_KEYWORD]
    rest = [p for p in own if p.kind is kinds.KEYWORD_ONLY]
    return given.replace(parameters=[*front, *options(config), *rest])


def option_docs(config: type) -> str:
    """The numpydoc entries of a Config's fields."""
    docs = {f.name: f.metadata.get("doc", "") for f in dataclasses.fields(config)}
    entries = []
    for p in options(config):
        text = textwrap.fill(docs[p.name], 92, initial_indent="    ", subsequent_indent="    ")
        entries.append(f"{p.name}\n{text} Default: ``{p.default!r}``.")
    return "\n".join(entries)
