"""A LINCS release, matrix and tables, as one AnnData in one vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sigilla.errors import DataError, unknown_name
from sigilla.io._classes import load_classes
from sigilla.io._gctx import open_gctx
from sigilla.io._joins import Report, join_genes, join_signatures
from sigilla.io._release_tables import load_table
from sigilla.io._tasks import run_all
from sigilla.io._vocabulary import LANDMARK_COUNT
from sigilla.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import anndata as ad
    import pandas as pd
    from numpy.typing import DTypeLike, NDArray

    from sigilla.io._classes import ClassSource

    Table = str | Path | pd.DataFrame


def read_lincs(
    gctx: str | Path,
    *,
    sig_info: Table | None = None,
    gene_info: Table | None = None,
    pert_info: Table | None = None,
    cell_info: Table | None = None,
    classes: ClassSource | Sequence[ClassSource] | None = None,
    landmarks: bool = True,
    cell_lines: str | Iterable[str] | None = None,
    exclude_perts: str | Iterable[str] | None = None,
    backed: bool = False,
    dtype: DTypeLike | None = "float32",
) -> ad.AnnData:
    """Read a LINCS release: a GCTX file joined with its tables, in one vocabulary.

    Tables of GEO 2017 (``sig_info``, ``inst_info``, ``gene_info``, ``pert_info``, ``cell_info``)
    and of CLUE 2020 (``siginfo``, ``instinfo``, ``geneinfo``, ``compoundinfo``, ``cellinfo``) are
    taken, as paths (``.txt``, ``.tsv``, ``.csv``, ``.gz``) or DataFrames; what a GCTX file says
    itself is used too. Only the wanted rows and columns of the matrix are read.

    Parameters
    ----------
    gctx
        The matrix, any level.
    sig_info
        One row for each signature (level 5) or instance (levels 3 and 4).
    gene_info
        One row for each gene; says which are landmarks.
    pert_info
        Perturbagens. Several rows of one are merged, their mechanisms joined with ``|``.
    cell_info
        Cell lines.
    classes
        Perturbagen classes: a table with a column ``pert_id`` and/or ``pert_iname`` and a column
        ``pcl`` or ``moa``, a GMT file of classes, or a dict of perturbagen to class; or a list
        of such sources, of which the first that knows a perturbagen counts. Matched by
        ``pert_id``, then by it without its batch, then by name. The first class in the source
        is the perturbagen's ``pcl``; where there are more, all are kept in ``moa`` (a table of
        mechanisms) or ``pcl_all`` with ``|`` between them.
    landmarks
        Keep the landmark genes only. Told by ``gene_info`` (``pr_is_lm`` or ``feature_space``; a
        table of 978 genes is a list of landmarks) or by the file; a file of 978 genes is kept
        whole.
    cell_lines
        Keep these ``cell_id`` only.
    exclude_perts
        Drop these perturbagens, by ``pert_id`` or ``pert_iname``.
    backed
        Leave the matrix on disk, as in :func:`sigilla.io.read_gctx`.
    dtype
        As in :func:`sigilla.io.read_gctx`.

    Returns
    -------
    AnnData
        Sets the following fields:

        ``obs``
            ``sig_id pert_id pert_iname pert_type cell_id dose time pcl moa``, always and first;
            ``dose`` in micromolar, ``time`` in hours, missing values NaN. Then all other columns
            of the file and the tables, under their own names.
        ``var``
            ``gene_id gene_symbol gene_title is_landmark`` where known, then all others.
            ``var_names`` are the ids of the file.
        ``uns["lincs"]``
            How much was matched, and up to five examples of what was not.

    Raises
    ------
    FileError
        A file is missing, damaged or not what it should be.
    DataError
        A table shares no id with the matrix, landmarks are not known, a cell line is unknown, or
        nothing is left.

    References
    ----------
    Subramanian et al. 2017, Cell 171(6): 1437-1452.

    Examples
    --------
    >>> import tempfile, anndata, numpy as np, pandas as pd, sigilla as sg
    >>> sig_info = pd.DataFrame({
    ...     "sig_id": ["s2", "s1"], "pert_id": ["BRD-K1", "DMSO"], "cell_id": "A375",
    ...     "pert_idose": ["10 µM", "-666"], "pert_itime": "24 h",
    ... })
    >>> matrix = anndata.AnnData(np.ones((2, 978), "float32"), obs=pd.DataFrame(index=["s1", "s2"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.io.write_gctx(matrix, f"{folder}/level5.gctx")
    ...     adata = sg.io.read_lincs(
    ...         f"{folder}/level5.gctx", sig_info=sig_info, classes={"BRD-K1": "CP_MEK_INHIBITOR"}
    ...     )
    >>> adata.obs[["pert_id", "dose", "time", "pcl"]]
       pert_id  dose  time               pcl
    s1    DMSO   NaN  24.0               NaN
    s2  BRD-K1  10.0  24.0  CP_MEK_INHIBITOR
    """
    tables = {
        name: load_table(table, name)
        for name, table in {
            "sig_info": sig_info,
            "gene_info": gene_info,
            "pert_info": pert_info,
            "cell_info": cell_info,
        }.items()
        if table is not None
    }
    known = None if classes is None else load_classes(classes)
    report = Report()
    with open_gctx(gctx) as file:
        of_rows, of_cols = file.obs(), file.var()
        run_all([*of_rows.tasks, *of_cols.tasks])
        obs = join_signatures(of_rows.frame(), tables, known, report)
        var = join_genes(of_cols.frame(), tables.get("gene_info"), report)
        rows = _wanted_rows(obs, cell_lines, exclude_perts, report)
        cols = _wanted_cols(var, report) if landmarks else None
        adata = file.adata(rows, cols, backed=backed, dtype=dtype, obs=obs, var=var)
    adata.uns["lincs"] = report.stored | {"n_signatures": adata.n_obs, "n_genes": adata.n_vars}
    return adata


def _wanted_rows(
    obs: pd.DataFrame,
    cell_lines: str | Iterable[str] | None,
    exclude_perts: str | Iterable[str] | None,
    report: Report,
) -> NDArray[np.intp] | None:
    keep = np.ones(len(obs), dtype=bool)
    if cell_lines is not None:
        wanted = [cell_lines] if isinstance(cell_lines, str) else list(cell_lines)
        for name in wanted:
            if name not in obs["cell_id"].cat.categories:
                raise DataError(unknown_name("cell_lines", name, obs["cell_id"].cat.categories))
        keep &= obs["cell_id"].isin(wanted).to_numpy()
    if exclude_perts is not None:
        given = [exclude_perts] if isinstance(exclude_perts, str) else list(exclude_perts)
        absent = [
            name
            for name in given
            if name not in obs["pert_id"].cat.categories
            and name not in obs["pert_iname"].cat.categories
        ]
        report.note("exclude_perts_unknown", absent, "of exclude_perts are not there", warn=True)
        dropped = (obs["pert_id"].isin(given) | obs["pert_iname"].isin(given)).to_numpy()
        report.stored["n_excluded"] = int((dropped & keep).sum())
        keep &= ~dropped
    if not keep.any():
        raise DataError("no signature is left after cell_lines and exclude_perts; widen them.")
    return None if keep.all() else np.flatnonzero(keep)


def _wanted_cols(var: pd.DataFrame, report: Report) -> NDArray[np.intp] | None:
    if "is_landmark" not in var:
        raise DataError(
            f"landmarks=True, but nothing says which of the {len(var)} genes are landmarks. Pass "
            "gene_info= (the release's gene_info table), or landmarks=False for all genes."
        )
    found = np.flatnonzero(var["is_landmark"].to_numpy())
    if not len(found):
        raise DataError("landmarks=True, but no gene is marked as one; use landmarks=False.")
    if len(found) != LANDMARK_COUNT:
        logger.warning("read_lincs: %d landmarks, where L1000 has 978", len(found))
    report.stored["n_landmarks"] = len(found)
    return None if len(found) == len(var) else found
