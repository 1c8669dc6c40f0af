"""LINCS L1000: the GEO series, the public plate, mechanisms of action, the published model."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from importlib.resources import files as resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from sigilla import io
from sigilla.datasets._fetch import cached, fetch_file, locate, wanted
from sigilla.datasets._manifests import manifest as manifest_of
from sigilla.errors import FileError
from sigilla.files import replacing
from sigilla.logging import logger
from sigilla.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad

    from sigilla.datasets._manifests import DataFile, Manifest
    from sigilla.models import SVQVAE


def landmarks() -> pd.DataFrame:
    """The 978 landmark genes of L1000, in the order of GEO's ``gene_info`` files.

    Returns
    -------
    One row per gene: ``pr_gene_id`` (the Entrez id, as text) and ``pr_gene_symbol``.

    Examples
    --------
    >>> import sigilla as sg
    >>> sg.datasets.landmarks().iloc[0].tolist()
    ['780', 'DDR1']
    """
    return _table("l1000_landmarks.tsv")


def svqvae_lincs_pretrained(*, progress: bool | None = None) -> SVQVAE:
    """The S-VQ-VAE that Xue et al. published: 978 landmark genes, 75 perturbagen classes.

    Fetches three files (8 MB) and reads them without executing what they hold. The model's
    ``var_names`` are Entrez ids, its ``classes`` the CMap names (``CP_MEK_INHIBITOR``, ...).

    Returns
    -------
    A model ready for :func:`sigilla.tl.map_query`.

    Raises
    ------
    FileError
        A file cannot be had or is not what was published.

    References
    ----------
    Xue Y, Ding MQ, Lu X (2020), npj Syst Biol Appl 6:35, doi:10.1038/s41540-020-00158-2.

    Examples
    --------
    >>> import sigilla as sg
    >>> model = sg.datasets.svqvae_lincs_pretrained()  # doctest: +SKIP
    """
    from sigilla.models import SVQVAE

    manifest = manifest_of("svqvae_lincs")
    paths = _by_role(manifest, progress)
    return SVQVAE.from_xue2020(
        paths["encode"],
        paths["embedding"],
        paths["decode"],
        var_names=landmarks()["pr_gene_id"].tolist(),
        classes=_table("svqvae_lincs_classes.tsv")["pcl"].tolist(),
    )


def repurposing_hub(*, progress: bool | None = None) -> pd.DataFrame:
    """Mechanism of action and targets of 6,806 compounds, from the Drug Repurposing Hub (CC0).

    Returns
    -------
    One row per compound: ``pert_id`` (the 13 characters of a Broad id that LINCS uses),
    ``pert_iname``, ``moa`` and ``target`` (several separated by ``|``), ``clinical_phase``.

    References
    ----------
    Corsello et al. 2017, Nat Med 23:405-408.

    Examples
    --------
    >>> import sigilla as sg
    >>> moa = sg.datasets.repurposing_hub()  # doctest: +SKIP
    """
    manifest = manifest_of("repurposing_hub")
    (file,) = wanted(manifest)
    table = pd.read_csv(fetch_file(manifest, file, progress), sep="\t", dtype=str)
    if "broad_id" in table:  # as published: one row per sample of a compound
        table["pert_id"] = table["broad_id"].str[:13]
    columns = ["pert_id", "pert_iname", "moa", "target", "clinical_phase"]
    return table.drop_duplicates("pert_id")[columns].reset_index(drop=True)


def l1000_plate(*, progress: bool | None = None) -> ad.AnnData:
    """A real L1000 plate: 377 wells of A375 cells x 978 landmark genes, z-scores.

    Plate LJP005 (24 h, 60 compounds in six doses, and DMSO) from cmapPy's public test data, with
    mechanisms of action joined from the Drug Repurposing Hub by Broad id, else by name.

    Returns
    -------
    AnnData as :func:`sigilla.io.read_lincs` gives it, with Entrez ids as ``var_names``.
    ``obs["moa"]`` has all mechanisms of a compound with ``|`` between them and ``obs["pcl"]`` the
    first; both are missing for the vehicle and for compounds that the table does not have.

    References
    ----------
    Subramanian et al. 2017, Cell 171:1437-1452.

    Examples
    --------
    >>> import sigilla as sg
    >>> plate = sg.datasets.l1000_plate()  # doctest: +SKIP
    """
    path = _by_role(manifest_of("l1000_plate"), progress)["gctx"]
    hub = repurposing_hub(progress=progress)
    adata = io.read_lincs(path, classes=hub[hub["moa"] != "control vehicle"])
    adata.var_names = adata.var["gene_id"].astype(str).to_numpy()
    return adata


def lincs_release(
    manifest: Manifest, *, progress: bool | None = None, **options: Any
) -> ad.AnnData:
    """A GEO series through :func:`sigilla.io.read_lincs`, its matrix unpacked once."""
    roles = {file.role: file for file in manifest.needed}
    matrix = _unpacked(manifest, roles.pop("gctx"), progress)
    paths = {role: fetch_file(manifest, file, progress) for role, file in roles.items()}
    return io.read_lincs(matrix, **{**paths, **options})


def _unpacked(manifest: Manifest, file: DataFile, progress: bool | None) -> Path:
    """GEO ships ``.gctx.gz``, which allows no access by block; it is unpacked in the cache."""
    if not file.name.endswith(".gz"):
        return fetch_file(manifest, file, progress)
    unpacked = replace(
        file, name=file.name.removesuffix(".gz"), mirror=file.mirror.removesuffix(".gz")
    )
    found = locate(manifest, unpacked)
    if found is not None:
        return found
    packed = fetch_file(manifest, file, progress)
    logger.info("unpacking %s into %s", packed.name, settings.cache_dir)
    target = cached(manifest, unpacked)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(packed) as source, replacing(target) as part, part.open("wb") as out:
            shutil.copyfileobj(source, out, 2**22)
    except (EOFError, gzip.BadGzipFile) as error:
        raise FileError(f"{packed} cannot be unpacked: {error}; fetch it again") from error
    return target


def _by_role(manifest: Manifest, progress: bool | None) -> dict[str, Path]:
    needed = manifest.needed
    return {str(f.role): fetch_file(manifest, f, progress, needed) for f in needed}


def _table(name: str) -> pd.DataFrame:
    with (resources("sigilla.datasets") / "tables" / name).open() as stream:
        return pd.read_csv(stream, sep="\t", comment="#", dtype=str)
