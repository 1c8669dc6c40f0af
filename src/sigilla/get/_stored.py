"""Where a verb's results lie, or a sentence that says which call puts them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigilla.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

_VERBS = ("svqvae", "vqvae", "vae")


def result(adata: AnnData, key: str) -> Mapping[str, Any]:
    """``uns[key]`` of a fitted or mapped AnnData.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``; the message names the call that does it.
    """
    if _is_result(adata.uns.get(key)):
        return adata.uns[key]
    call = f"sg.tl.{key}(adata)" if key in _VERBS else f"sg.tl.svqvae(adata, key_added={key!r})"
    found = [name for name, value in adata.uns.items() if _is_result(value)]
    there = f", or name a result that is there: {listed(found)}" if found else ""
    raise KeyError(f"key={key!r} holds no result in adata.uns; run {call} first{there}")


def result_with_codes(adata: AnnData, key: str) -> Mapping[str, Any]:
    """``uns[key]`` of a method that has a code book.

    Raises
    ------
    DataError
        The method has no codes.
    """
    stored = result(adata, key)
    if "codes" not in stored:
        raise DataError(
            f"key={key!r} holds a {stored['method']!r} model, which has no codes; "
            "run sg.tl.svqvae(adata) and take key='svqvae'"
        )
    return stored


def classes(stored: Mapping[str, Any]) -> list[str]:
    """Class names in code order."""
    return [str(name) for name in stored["classes"]]


def _is_result(value: Any) -> bool:
    return hasattr(value, "keys") and {"method", "params", "history"} <= set(value)
