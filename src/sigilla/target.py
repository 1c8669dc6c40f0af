"""The AnnData that a verb is given, and the one that it writes into."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def target_of(adata: AnnData, *, copy: bool = False) -> AnnData:
    """``adata`` or a copy of it, ready to be written to.

    A view becomes an AnnData of its own first, in place: writing to a view would do the same, with
    a warning that is of no use to who called a verb.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> part = anndata.AnnData(np.zeros((4, 2)))[:2]
    >>> target_of(part) is part, part.is_view
    (True, False)
    """
    target = adata.copy() if copy else adata
    if target.is_view:
        target._init_as_actual(target.copy())  # noqa: SLF001 - anndata's own way; scanpy's verbs do so
    return target


def guard(face: dict[str, Any]) -> None:
    """Have every function of a face refuse, before any work, what should be an AnnData and is not.

    ``face`` is the ``globals()`` of a package; which arguments are meant, annotations say. Done
    once for all verbs, none of them has to begin with it.
    """
    for name in face["__all__"]:
        if inspect.isfunction(face[name]):
            face[name] = _guarded(face[name], face["__name__"])


def _guarded(verb: Callable[..., Any], face: str) -> Callable[..., Any]:
    parameters = inspect.signature(verb).parameters
    wanted = {p.name: kinds for p in parameters.values() if "AnnData" in (kinds := _kinds(p))}

    @functools.wraps(verb)
    def checked(*args: Any, **kwargs: Any) -> Any:
        from anndata import AnnData

        given = dict(zip(parameters, args, strict=False)) | kwargs
        for name, kinds in wanted.items():
            value = given.get(name)
            missing = name not in given or (value is None and "None" in kinds)
            if not missing and not isinstance(value, AnnData):
                raise TypeError(
                    f"{face.removeprefix('sigilla.')}.{verb.__name__}: {name} is"
                    f" {type(value).__name__}, not an AnnData; wrap an array as"
                    " anndata.AnnData(x), or read a file with sg.io"
                )
        return verb(*args, **kwargs)

    # Where it is found, also by those who pickle it.
    checked.__module__ = face
    return checked


def _kinds(parameter: inspect.Parameter) -> set[str]:
    """What an argument may be, where that is an AnnData or nothing; empty for any other."""
    kinds = {kind.strip().removeprefix("anndata.") for kind in str(parameter.annotation).split("|")}
    return kinds if kinds <= {"AnnData", "None"} else set()
