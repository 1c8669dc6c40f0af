"""Hyper-parameters: written once, as fields of a frozen dataclass, checked on creation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sigilla.errors import listed


def param(
    default: Any,
    doc: str,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
) -> Any:
    """A field of a Config: its default, its sentence in the docs, and its bounds.

    Parameters
    ----------
    default
        Default value.
    doc
        What it is; goes into the verb's docstring and the command's help.
    above, at_least, below
        Bounds; a value outside them is refused when the Config is made.

    Returns
    -------
    What ``dataclasses.field`` gives.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True)
    ... class MyConfig(Config):
    ...     n_latent: int = param(32, "Dimensions of the latent.", at_least=1)
    >>> MyConfig(n_latent=0)
    Traceback (most recent call last):
    ValueError: n_latent=0 must be >= 1
    """
    return field(
        default=default,
        metadata={"doc": doc, "above": above, "at_least": at_least, "below": below},
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every method's optimisation is told; methods add their own fields and defaults."""

    max_epochs: int = param(100, "Passes over the training observations, at most.", at_least=0)
    batch_size: int = param(256, "Observations per step.", at_least=1)
    learning_rate: float = param(1e-3, "Adam's step size.", above=0)
    weight_decay: float = param(0.0, "Decoupled weight decay.", at_least=0)
    validation_fraction: float = param(
        0.1,
        "Fraction of observations held out (by class where there are classes) to stop early; "
        "0 trains on all and keeps the last epoch.",
        at_least=0,
        below=1,
    )
    patience: int = param(
        20,
        "Epochs without a better value of the monitored metric before stopping; the best "
        "epoch's weights are restored.",
        at_least=1,
    )
    precision: Literal["float32", "bfloat16"] = param(
        "float32",
        "Type of the network's matrix products in training. 'bfloat16' has a mantissa of 8 bits "
        "and is faster on processors that have units for it (not measured on cards); weights, "
        "distances to codes, losses and the stored results stay in 32 bits.",
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            _check(f.name, getattr(self, f.name), hints[f.name], f.metadata)


def _check(name: str, value: Any, hint: Any, bounds: Any) -> None:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{name}={value!r} is not one of {listed(get_args(hint))}")
        return
    if hint not in (int, float):
        return
    if isinstance(value, str | bool) or value is None or not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a number")
    if hint is int and int(value) != value:
        raise ValueError(f"{name}={value!r} must be a whole number")
    limits = {
        "above": (value > bounds.get("above", -math.inf), ">"),
        "at_least": (value >= bounds.get("at_least", -math.inf), ">="),
        "below": (value < bounds.get("below", math.inf), "<"),
    }
    for limit, (holds, sign) in limits.items():
        if not holds:
            raise ValueError(f"{name}={value!r} must be {sign} {bounds[limit]:g}")
