"""What is asked for about a data set; bad values are refused when it is made."""

from __future__ import annotations

import datetime as dt
import inspect
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from sigilla import tl
from sigilla.errors import require_count, unknown_name
from sigilla.models import METHODS
from sigilla.report._digest import plain
from sigilla.report._held_out import N_FOLDS
from sigilla.seed import checked_seed

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPACES = ("genes", "latent")
# Said by arguments of the report, or decided by it.
_NOT_OPTIONS = {
    "adata",
    "label_key",
    "layer",
    "key_added",
    "random_state",
    "progress",
    "checkpoint",
    "copy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The arguments of :func:`sigilla.report.pcl_correlation` that say what to make.

    Raises
    ------
    ValueError, TypeError
        A value outside its bounds; an option that S-VQ-VAE does not have.
    """

    key: str = "svqvae"
    label_key: str | None = None
    layer: str | None = None
    space: Literal["genes", "latent"] | None = None
    n_genes: int = 10
    n_splits: int | None = None
    n_boot: int = 200
    n_perm: int = 500
    title: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    per: str | None = None
    random_state: int = 0
    date: dt.date | Literal["today"] | None = "today"

    def __post_init__(self) -> None:
        if not self.key or "/" in self.key:
            raise ValueError(f"key={self.key!r} must be a name without slashes")
        for name in ("n_genes", "n_boot", "n_perm"):
            require_count(name, getattr(self, name))
        checked_seed(self.random_state)
        if self.n_splits is not None and not 0 <= self.n_splits <= N_FOLDS:
            raise ValueError(f"n_splits={self.n_splits!r} must lie between 0 and {N_FOLDS}")
        if self.space is not None and self.space not in _SPACES:
            raise ValueError(unknown_name("space", self.space, _SPACES))
        if self.date is not None and self.date != "today" and not isinstance(self.date, dt.date):
            raise ValueError(f"date={self.date!r} must be a date, 'today' or None")
        _require_options(self.options)

    def changed(self) -> list[str]:
        """Names of the arguments that are not at their defaults."""
        default = type(self)()
        names = [each.name for each in fields(self)]
        return [name for name in names if getattr(self, name) != getattr(default, name)]

    def described(self) -> dict[str, Any]:
        """As JSON, without what says how to divide the data into pieces."""
        told = {each.name: plain(getattr(self, each.name)) for each in fields(self)}
        del told["per"]
        if isinstance(self.date, dt.date):
            told["date"] = self.date.isoformat()
        return told

    def day(self) -> dt.date | None:
        """The date to print."""
        return dt.datetime.now(tz=dt.UTC).date() if self.date == "today" else self.date


def _require_options(options: Mapping[str, Any]) -> None:
    known = [n for n in inspect.signature(tl.svqvae).parameters if n not in _NOT_OPTIONS]
    for name in options:
        if name not in known:
            raise TypeError(unknown_name("options", name, known))
    config = METHODS["svqvae"].Config
    own = {each.name for each in fields(config)}
    config(**{name: value for name, value in options.items() if name in own})
