"""A simulated LINCS release on disk, in GEO's own files."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from sigilla import io
from sigilla.datasets._lincs import landmarks
from sigilla.datasets._simulate import simulate_lincs
from sigilla.errors import FileError
from sigilla.files import replacing
from sigilla.seed import generator

if TYPE_CHECKING:
    import os

PREFIX = "SIMULATED_Broad_LINCS"
MISSING = "-666"


@dataclass(frozen=True, slots=True)
class LincsRelease:
    """Paths of a release; the fields are arguments of :func:`sigilla.io.read_lincs`."""

    gctx: Path
    sig_info: Path
    gene_info: Path
    pert_info: Path
    classes: Path


def simulate_lincs_release(
    out: str | os.PathLike[str], *, n_inferred: int = 100, **simulation: Any
) -> LincsRelease:
    """Write what :func:`simulate_lincs` makes as GEO ships a series: a matrix and its tables.

    The level-5 GCTX has genes as rows and no metadata but ids. The rest is in ``sig_info``,
    ``gene_info`` and ``pert_info`` (``.txt.gz``, ``-666`` where there is nothing to say), in an
    order of its own, and in a table of classes by ``pert_id``: reading it is the same work as
    reading a real series. Each file replaces an earlier one of its name when it is whole.

    Parameters
    ----------
    out
        Folder to write to, created if need be.
    n_inferred
        Further genes, linear in the landmarks as those are that L1000 infers; they lie between
        the landmarks and ``gene_info`` tells them apart.
    **simulation
        Arguments of :func:`simulate_lincs`. By default its 978 genes are the landmarks of L1000.

    Returns
    -------
    The paths.

    Raises
    ------
    FileError
        The folder cannot be made or written to.

    Examples
    --------
    >>> import dataclasses, tempfile, sigilla as sg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     release = sg.datasets.simulate_lincs_release(folder, n_classes=4, n_vehicle=10)
    ...     adata = sg.io.read_lincs(**dataclasses.asdict(release))
    >>> adata.obs["pcl"].cat.categories.tolist()
    ['F01a', 'F01b', 'F01c', 'F02a']
    """
    if not {"var_names", "n_genes", "prototypes"} & simulation.keys():
        simulation["var_names"] = landmarks()["pr_gene_id"].tolist()
    adata = simulate_lincs(**simulation)
    matrix, is_landmark = _with_inferred(adata, n_inferred)
    release = _paths(Path(out), matrix)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"out={str(out)!r} cannot be made: {error}") from error
    io.write_gctx(matrix, release.gctx)
    _write_table(_sig_info(adata.obs), release.sig_info)
    _write_table(_gene_info(matrix.var_names, is_landmark), release.gene_info)
    _write_table(_pert_info(adata.obs), release.pert_info)
    _write_table(_classes(adata.obs), release.classes)
    return release


def _paths(out: Path, matrix: ad.AnnData) -> LincsRelease:
    return LincsRelease(
        gctx=out / f"{PREFIX}_Level5_COMPZ_n{matrix.n_obs}x{matrix.n_vars}.gctx",
        sig_info=out / f"{PREFIX}_sig_info.txt.gz",
        gene_info=out / f"{PREFIX}_gene_info.txt.gz",
        pert_info=out / f"{PREFIX}_pert_info.txt.gz",
        classes=out / f"{PREFIX}_pcl.tsv",
    )


def _with_inferred(adata: ad.AnnData, n_inferred: int) -> tuple[ad.AnnData, np.ndarray]:
    """Ids and values only, inferred genes spread among the landmarks."""
    rng = generator(n_inferred)
    weights = rng.normal(size=(adata.n_vars, n_inferred)) / np.sqrt(adata.n_vars)
    x = np.hstack([adata.X, adata.X @ weights.astype(adata.X.dtype)])
    names = [*adata.var_names, *(f"{10**8 + i}" for i in range(n_inferred))]
    place = np.concatenate(
        [np.arange(adata.n_vars), np.sort(rng.uniform(0, adata.n_vars, n_inferred))]
    )
    order = np.argsort(place, kind="stable")
    matrix = ad.AnnData(
        x[:, order],
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame(index=pd.Index(np.array(names)[order])),
    )
    return matrix, order < adata.n_vars


# -- GEO's tables ------------------------------------------------------------------------------


def _sig_info(obs: pd.DataFrame) -> pd.DataFrame:
    dose = obs["dose"].map(lambda d: f"{d} um", na_action="ignore")
    table = obs[["sig_id", "pert_id", "pert_iname", "pert_type", "cell_id"]].assign(
        pert_idose=dose, pert_itime=obs["time"].map(lambda t: f"{t:g} h"), distil_id=MISSING
    )
    return table.sort_values(["pert_id", "sig_id"])


def _gene_info(ids: pd.Index, is_landmark: np.ndarray) -> pd.DataFrame:
    symbols = landmarks().set_index("pr_gene_id")["pr_gene_symbol"]
    return pd.DataFrame(
        {
            "pr_gene_id": ids,
            "pr_gene_symbol": symbols.reindex(ids).fillna(pd.Series(ids, index=ids)).to_numpy(),
            "pr_gene_title": MISSING,
            "pr_is_lm": is_landmark.astype(int),
            "pr_is_bing": 1,
        }
    )


def _pert_info(obs: pd.DataFrame) -> pd.DataFrame:
    perts = obs[["pert_id", "pert_iname", "pert_type"]].drop_duplicates("pert_id")
    perts.insert(1, "canonical_smiles", MISSING)
    perts.insert(2, "inchi_key", MISSING)
    return perts.sort_values("pert_id")


def _classes(obs: pd.DataFrame) -> pd.DataFrame:
    labelled = obs.loc[obs["pcl"].notna(), ["pert_id", "pert_iname", "pcl"]]
    return labelled.drop_duplicates("pert_id").sort_values("pert_id")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    text = table.to_csv(sep="\t", index=False, na_rep=MISSING, lineterminator="\n").encode()
    with replacing(path, argument="out") as part:
        # mtime=0: the same simulation gives the same bytes
        part.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
