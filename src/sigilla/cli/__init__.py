"""The command line: each command is a few lines over the Python API.

Torch, scanpy and anndata are imported inside the commands that need them, so that
``sigilla --help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from sigilla.cli._arguments import (  # noqa: TC001 - typer reads annotations at run time
    Classes,
    GeneInfo,
    Genes,
    Input,
    Labels,
    OutFile,
    PertInfo,
    SigInfo,
)
from sigilla.cli._bench import bench_app
from sigilla.cli._files import WRITERS, folder, read, reference_of, say, step, writable, write
from sigilla.cli._fit import fit_app
from sigilla.cli._report import report
from sigilla.logging import logger

app = typer.Typer(
    name="sigilla",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Start with [bold]sigilla demo[/bold]; every command explains itself, as "
    "[bold]sigilla fit svqvae --help[/bold] does.",
)


@app.callback()
def _common(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from (a traceback).")
    ] = False,
) -> None:
    """Gene-expression signatures pressed into discrete codes."""
    del debug  # main() looks for it: errors pass through there


@app.command()
def demo(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(
        "sigilla-demo"
    ),
) -> None:
    """Simulate a LINCS release, fit S-VQ-VAE to it and write a report.

    The release is written to disk in GEO's own formats and read back as a real one would be, so
    this is the whole path from a GCTX file to class codes. The last line names the page to open.
    """
    from dataclasses import asdict

    import sigilla as sg

    with step("simulate a LINCS-like release"):
        # So many of each class that all have the two compounds or more that a test needs.
        sizes = list(range(250, 90, -10))
        release = sg.datasets.simulate_lincs_release(
            folder(out) / "release", n_classes=len(sizes), class_sizes=sizes
        )
    with step("read it"):
        adata = sg.io.read_lincs(**asdict(release))
    say(f"  {adata.n_obs:,} signatures x {adata.n_vars:,} genes")
    say("  classes of one family, such as F01a and F01b, were made alike")
    with step("fit S-VQ-VAE"):
        sg.tl.svqvae(adata)
    with step("write the report"):
        (page,) = sg.report.pcl_correlation(adata, out, title="Demo: a simulated LINCS release")
    typer.echo(f"Report: {page}")


# -- the other commands ---------------------------------------------------------------------------


@app.command("map")
def map_(
    input: Input,  # noqa: A002 - the name that the help shows
    *,
    out: OutFile,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="A fitted .h5ad or a saved model (.safetensors). Default: the published LINCS "
            "code book of 75 PCLs, fetched on first use."
        ),
    ] = None,
    key: Annotated[str, typer.Option(help="Name of the result, in and out.")] = "svqvae",
    gene_key: Annotated[
        str | None, typer.Option(help="Column of var with the reference's kind of gene names.")
    ] = None,
    min_overlap: Annotated[
        float, typer.Option(help="Smallest share of the reference's genes to accept, 0 to 1.")
    ] = 0.8,
    sig_info: SigInfo = None,
    gene_info: GeneInfo = None,
    pert_info: PertInfo = None,
    classes: Classes = None,
    genes: Genes = None,
) -> None:
    """Annotate signatures with a code book: the published one or your own.

    Each takes the class of its nearest code, be it ever so far; sg.tl.mark_unknown marks those that
    look like no class. Genes of the published code book are Entrez ids.

    [bold]Examples[/bold]

    sigilla map plate.gctx --out annotated.h5ad

    sigilla map plate.gctx --gene-key pr_gene_id --out annotated.h5ad

    sigilla map plate.gctx --reference fitted.h5ad --out annotated.h5ad
    """
    import sigilla as sg

    writable(out)
    adata = read(
        input,
        sig_info=sig_info,
        gene_info=gene_info,
        pert_info=pert_info,
        classes=classes,
        genes=genes,
    )
    with step("annotate"):
        sg.tl.map_query(
            adata, reference_of(reference), key=key, gene_key=gene_key, min_overlap=min_overlap
        )
    write(adata, out)
    if key in adata.obs:
        counts = adata.obs[key].value_counts()
        counts = counts[counts > 0]
        say(f"nearest codes of {adata.n_obs:,} signatures: {len(counts)} classes, most frequent:")
        for name, n in counts.head(10).items():
            typer.echo(f"{n:8,}  {name}")
    say(f"wrote {out}")


app.command()(report)


@app.command()
def convert(
    input: Input,  # noqa: A002 - the name that the help shows
    output: Annotated[Path, typer.Argument(help="File to write: .h5ad, .gctx or .gct.")],
    *,
    labels: Labels = None,
    genes: Genes = None,
) -> None:
    """Convert to h5ad, GCTX or GCT; the suffixes say from what to what.

    [bold]Examples[/bold]

    sigilla convert plate.gctx plate.h5ad

    sigilla convert leukemia.csv leukemia.h5ad --labels classes.txt
    """
    writable(output, suffixes=tuple(WRITERS))
    adata = read(input, labels=labels, genes=genes)
    with step(f"write {output}"):
        write(adata, output)


app.add_typer(fit_app, name="fit")
app.add_typer(bench_app, name="bench")
datasets_app = typer.Typer(no_args_is_help=True, help="Data sets that sigilla knows by name.")
app.add_typer(datasets_app, name="datasets")


@datasets_app.command("list")
def datasets_list() -> None:
    """Show the data sets that sigilla can fetch."""
    import sigilla as sg

    table = sg.datasets.available().fillna({"megabytes": 0})
    width = max(map(len, table.index))
    typer.echo(f"{'name':<{width}}  {'MB':>8}  {'is in':<6}  title")
    for name, row in table.iterrows():
        size = f"{row.megabytes:,.1f}" if row.megabytes else "?"
        typer.echo(f"{name:<{width}}  {size:>8}  {row.at_hand or '-':<6}  {row.title}")


@datasets_app.command("fetch")
def datasets_fetch(
    names: Annotated[list[str], typer.Argument(help="Names, as the list shows them.")],
) -> None:
    """Download data sets, verify their checksums and say where they are.

    [bold]Example[/bold]

    sigilla datasets fetch l1000_plate
    """
    import sigilla as sg

    for name in names:
        for path in sg.datasets.fetch(name).values():
            typer.echo(path)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; an error in the input is one line on stderr and exit code 1."""
    given = sys.argv[1:] if argv is None else argv
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    try:
        app(args=given)
    except (ValueError, KeyError, OSError, ArithmeticError) as error:
        if "--debug" in given:
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        say(f"sigilla: {' '.join(str(message).split())}")
        sys.exit(1)
    finally:
        logger.removeHandler(handler)
