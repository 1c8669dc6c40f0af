from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sigilla.errors import DataError
from sigilla.get._stored import classes, result_with_codes

if TYPE_CHECKING:
    from anndata import AnnData

_TESTS = ("pvalue", "qvalue", "pvalue_perm", "qvalue_perm")
_VALUES = ("r", "corrected", "low", "high", *_TESTS)


def code_correlation_stats(adata: AnnData, key: str = "svqvae") -> pd.DataFrame:
    """What :func:`sigilla.tl.code_correlation` found, one row per pair of classes.

    Parameters
    ----------
    adata
        An AnnData that :func:`sigilla.tl.code_correlation` was run on.
    key
        Name of the result.

    Returns
    -------
    The most certain first: ``class_a``, ``class_b``; ``r``, the correlation of the codes;
    ``corrected``, the same without the noise of few perturbagens, with the interval ``low`` to
    ``high``; ``pvalue`` and ``qvalue`` (false discovery rate over all pairs) of a correlation of
    0; ``pvalue_perm`` and ``qvalue_perm`` of one that is 0 or no larger than that of perturbagens
    dealt to classes by chance; the same of the class means as ``r_means``,
    ``corrected_means``, ...; ``n_a`` and ``n_b``, perturbagens.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``.
    DataError
        The method has no codes, or the statistics are not there yet.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[150, 150, 150], n_genes=30)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.tl.code_correlation(adata, n_boot=50, n_perm=50)
    >>> len(sg.get.code_correlation_stats(adata))
    3
    """
    stored = result_with_codes(adata, key)
    if "code_correlation_stats" not in stored:
        raise DataError(
            f"key={key!r} has no code_correlation_stats; "
            f"run sg.tl.code_correlation(adata, {key!r}) first"
        )
    stats = stored["code_correlation_stats"]
    names = np.array(classes(stored), dtype=object)
    a, b = np.triu_indices(len(names), 1)
    columns = {"class_a": names[a], "class_b": names[b]}
    columns |= {name: np.asarray(stats[name])[a, b] for name in _VALUES}
    columns |= {f"{name}_means": np.asarray(stats["means"][name])[a, b] for name in _VALUES}
    n = np.asarray(stats["n_units"])
    table = pd.DataFrame(columns | {"n_a": n[a], "n_b": n[b]})
    strength = table["r"].abs().rename("strength")
    order = pd.concat([table["pvalue"], -strength], axis=1)
    order = order.sort_values(["pvalue", "strength"], kind="stable").index
    return table.loc[order].reset_index(drop=True)
