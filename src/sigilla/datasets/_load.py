"""A data set by its name, read by the loader that its manifest names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigilla.datasets import _lincs, _read
from sigilla.datasets._fetch import fetch_file, wanted
from sigilla.datasets._manifests import manifest as manifest_of
from sigilla.errors import DataError

if TYPE_CHECKING:
    import anndata as ad

    from sigilla.datasets._manifests import Manifest

_NAMED = {
    "l1000_plate": _lincs.l1000_plate,
    "repurposing_hub": _lincs.repurposing_hub,
    "svqvae_lincs_pretrained": _lincs.svqvae_lincs_pretrained,
}
_MATRICES = {"mnist": _read.mnist, "r_data": _read.r_data, "text_matrix": _read.text_matrix}


def load(name: str, *, progress: bool | None = None, **options: Any) -> Any:
    """A data set, fetched if need be, as AnnData.

    Where a mirror folder holds a converted ``.h5ad`` it is read in place of the published files,
    with the same result.

    Parameters
    ----------
    name
        A data set of :func:`available`.
    progress
        Show a bar while downloading; see :func:`fetch`.
    **options
        For a GEO series, arguments of :func:`sigilla.io.read_lincs` (``classes``, ``cell_lines``,
        ...); other data sets have none.

    Returns
    -------
    AnnData, samples x genes, the published classes in ``obs["label"]`` (``obs["moa"]`` of the
    plate, ``obs["pcl"]`` of a series read with ``classes=``), and where it comes from in
    ``uns["provenance"]``. ``"repurposing_hub"`` gives a DataFrame and ``"svqvae_lincs"`` a model.

    Raises
    ------
    ValueError
        There is no such data set.
    FileError
        A file cannot be had; the message says how to place it by hand.
    DataError
        A file placed by hand has another shape than the published one.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.load("leukemia")  # doctest: +SKIP
    """
    manifest = manifest_of(name)
    if manifest.loader == "lincs_release":
        return _with_provenance(
            _lincs.lincs_release(manifest, progress=progress, **options), manifest
        )
    if options:
        raise TypeError(f"data set {name!r} takes no options; got {', '.join(options)}")
    if manifest.loader in _NAMED:
        return _NAMED[manifest.loader](progress=progress)
    return _with_provenance(_matrix(manifest, progress), manifest)


def mnist(*, progress: bool | None = None) -> ad.AnnData:
    """MNIST as AnnData: 70,000 images x 784 pixels in [-1, 1].

    Returns
    -------
    AnnData with ``obs["label"]`` (the digit) and ``obs["split"]`` (``train``, ``test``).

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.mnist()  # doctest: +SKIP
    """
    return load("mnist", progress=progress)


def _matrix(manifest: Manifest, progress: bool | None) -> ad.AnnData:
    files = wanted(manifest)
    paths = {file.role: fetch_file(manifest, file, progress) for file in files}
    if files == (manifest.converted,):
        adata = _read.converted(paths[None])
    else:
        adata = _MATRICES[manifest.loader](manifest, paths)
    published = (manifest.n_obs, manifest.n_vars)
    if adata.shape != published:
        raise DataError(
            f"{manifest.name} should have {published[0]} samples x {published[1]} genes, the files "
            f"{', '.join(str(path) for path in paths.values())} have {adata.n_obs} x {adata.n_vars}"
        )
    return adata


def _with_provenance(adata: ad.AnnData, manifest: Manifest) -> ad.AnnData:
    given = adata.uns.get("provenance", {})
    adata.uns["provenance"] = {
        "dataset": manifest.name,
        "title": manifest.title,
        "licence": manifest.licence,
        "citation": manifest.citation,
        "homepage": manifest.homepage,
        **given,
    }
    return adata
