"""The AnnData that a verb writes into."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
