"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_READING = "Files of a LINCS release"
_TEXT = "Text matrices and single cells"
Input = Annotated[
    Path,
    typer.Argument(
        help="Signatures: .h5ad, .gctx, .gct; a text matrix (.csv, .tsv, .txt); single cells (a "
        "10x folder, .h5, .mtx, .loom). Text may be packed (.gz)."
    ),
]
OutFile = Annotated[Path, typer.Option("--out", "-o", help="The .h5ad file to write.")]
SigInfo = Annotated[
    Path | None, typer.Option(help="Table of signatures: sig_info.", rich_help_panel=_READING)
]
GeneInfo = Annotated[
    Path | None, typer.Option(help="Table of genes: gene_info.", rich_help_panel=_READING)
]
PertInfo = Annotated[
    Path | None, typer.Option(help="Table of perturbagens: pert_info.", rich_help_panel=_READING)
]
Classes = Annotated[
    Path | None,
    typer.Option(help="Table of PCLs or MOAs: compound and class.", rich_help_panel=_READING),
]
CellLines = Annotated[
    list[str] | None,
    typer.Option("--cell-line", help="Keep this cell line; repeat.", rich_help_panel=_READING),
]
ExcludePerts = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-pert", help="Leave out this perturbagen; repeat.", rich_help_panel=_READING
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Class of each sample, one to a line or as a table; becomes obs 'label'.",
        rich_help_panel=_TEXT,
    ),
]
Genes = Annotated[
    Literal["rows", "columns"] | None,
    typer.Option(help="Where a text matrix has its genes. Default: rows.", rich_help_panel=_TEXT),
]
# Arguments of io.read_lincs by their names there.
RELEASE = {
    "sig_info": SigInfo,
    "gene_info": GeneInfo,
    "pert_info": PertInfo,
    "classes": Classes,
    "cell_lines": CellLines,
    "exclude_perts": ExcludePerts,
}
# Arguments of io.read_table and io.read_single_cell.
SAMPLES = {"labels": Labels, "genes": Genes}
