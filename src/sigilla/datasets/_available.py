"""The table of data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from sigilla.datasets._fetch import cached, locate, wanted
from sigilla.datasets._manifests import manifests

if TYPE_CHECKING:
    from sigilla.datasets._manifests import DataFile, Manifest


def available() -> pd.DataFrame:
    """The data sets that :func:`fetch` and :func:`load` know, without touching the network.

    Returns
    -------
    One row per data set, by name: ``title``, ``licence``, ``accession``, ``label`` (the ``obs``
    column of the classes), ``n_obs``, ``n_vars``, ``n_classes``, ``files`` and ``megabytes`` that
    loading reads (missing where a size is unknown), ``checksums`` (known, unknown, partly known)
    and ``at_hand`` (mirror, cache, or empty: to be fetched), ``homepage`` and ``citation``.

    Examples
    --------
    >>> import sigilla as sg
    >>> int(sg.datasets.available().loc["leukemia", "n_obs"])
    72
    """
    table = pd.DataFrame([_row(manifest) for manifest in manifests().values()]).set_index("name")
    counts = ["n_obs", "n_vars", "n_classes"]
    return table.astype(dict.fromkeys(counts, "Int64") | {"megabytes": "Float64"})


def _row(manifest: Manifest) -> dict[str, object]:
    files = wanted(manifest)
    known = {file.checksum is not None for file in files}
    sizes = [file.bytes for file in files if file.bytes is not None]
    return {
        "name": manifest.name,
        "title": manifest.title,
        "licence": manifest.licence,
        "accession": manifest.accession,
        "label": manifest.label,
        "n_obs": manifest.n_obs,
        "n_vars": manifest.n_vars,
        "n_classes": manifest.n_classes,
        "files": len(files),
        "megabytes": round(sum(sizes) / 1e6, 1) if len(sizes) == len(files) else None,
        "checksums": "partly known" if len(known) > 1 else "known" if True in known else "unknown",
        "at_hand": _where(manifest, files),
        "homepage": manifest.homepage,
        "citation": manifest.citation,
    }


def _where(manifest: Manifest, files: tuple[DataFile, ...]) -> str:
    paths = [locate(manifest, file) for file in files]
    if None in paths:
        return ""
    cache = [cached(manifest, file) for file in files]
    return "cache" if paths == cache else "mirror"
