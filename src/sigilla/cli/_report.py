"""The command that writes reports, from one file to a night's batch."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import Annotated, Literal

import typer

from sigilla.cli._arguments import (  # noqa: TC001 - typer reads annotations at run time
    CellLines,
    Classes,
    ExcludePerts,
    GeneInfo,
    PertInfo,
    SigInfo,
)
from sigilla.cli._files import say, step


def report(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Signatures: .h5ad, .gctx or .gct; or one job file (.toml)."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to write to; a job file may name it."),
    ] = None,
    key: Annotated[str, typer.Option(help="Name of the result.")] = "svqvae",
    label_key: Annotated[
        str | None,
        typer.Option(
            "--label", help="Column of obs with the classes, for files that are not fitted yet."
        ),
    ] = None,
    space: Annotated[
        Literal["genes", "latent"] | None,
        typer.Option(help="Correlate decoded codes or the codes themselves."),
    ] = None,
    per: Annotated[
        str | None,
        typer.Option(help="Column of obs, such as cell_id: a report on each of its values too."),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Heading of the page. Default: the data set's name.")
    ] = None,
    n_splits: Annotated[
        int | None,
        typer.Option(
            help="Refits that measure held-out accuracy, 0 to 5. Default: 5 up to 1,000 labelled "
            "signatures, 1 beyond."
        ),
    ] = None,
    n_boot: Annotated[int, typer.Option(help="Draws for the intervals.")] = 200,
    n_perm: Annotated[int, typer.Option(help="Permutations for the q of chance.")] = 500,
    random_state: Annotated[int, typer.Option(help="Seed of fit, splits and draws.")] = 0,
    n_jobs: Annotated[
        int | None, typer.Option(help="Reports made at a time. Default: one for each core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A dask scheduler, tcp://..., whose workers do the work.")
    ] = None,
    sig_info: SigInfo = None,
    gene_info: GeneInfo = None,
    pert_info: PertInfo = None,
    classes: Classes = None,
    cell_lines: CellLines = None,
    exclude_perts: ExcludePerts = None,
) -> None:
    """Write a self-contained HTML page on the codes of each data set, and an index of many.

    A file without a result is fitted with S-VQ-VAE first. What is finished is kept: the same
    command goes on where it was interrupted. If a data set fails, the others are reported and
    the exit code is 1.

    [bold]Examples[/bold]

    sigilla report fitted.h5ad --out report/

    sigilla report plate1.h5ad plate2.h5ad --label moa --per cell_id --out reports/

    sigilla report nightly.toml
    """
    import sigilla as sg

    release = {
        "sig_info": sig_info,
        "gene_info": gene_info,
        "pert_info": pert_info,
        "classes": classes,
        "cell_lines": cell_lines,
        "exclude_perts": exclude_perts,
    }
    with step("write the report"):
        reports = sg.report.pcl_correlation(
            inputs,
            out,
            key=key,
            label_key=label_key,
            space=space,
            per=per,
            title=title,
            n_splits=n_splits,
            n_boot=n_boot,
            n_perm=n_perm,
            random_state=random_state,
            n_jobs=n_jobs,
            scheduler=scheduler,
            release={name: given for name, given in release.items() if given},
        )
    for page in [reports.index_page] if reports.index_page else reports:
        typer.echo(f"Report: {page}")
    counts = reports.table["status"].value_counts()
    if len(reports.table) > 1:
        say(", ".join(f"{n} {status}" for status, n in counts.items()))
    if "failed" in counts:
        raise typer.Exit(1)
