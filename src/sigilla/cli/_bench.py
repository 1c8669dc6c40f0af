"""``sigilla bench NAME``: the scripts of ``benchmarks/``, each with options of its own."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path
from typing import Any

import click
import typer
from typer.core import TyperGroup

from sigilla.errors import FileError, unknown_name


def scripts() -> dict[str, Path]:
    """The benchmarks by name: those of the checkout, or those that the wheel carries."""
    packaged = Path(__file__).parent / "benchmarks"
    folder = packaged if packaged.is_dir() else Path(__file__).parents[3] / "benchmarks"
    return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


class _Benchmarks(TyperGroup):
    """A command for each script; what follows its name goes to the script, ``--help`` too."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(scripts())

    def get_command(self, ctx: Any, cmd_name: str) -> click.Command:
        del ctx
        known = scripts()
        if not known:
            raise FileError("the benchmarks are not installed; run this from a checkout")
        if cmd_name not in known:
            raise ValueError(unknown_name("NAME", cmd_name, known))
        path = known[cmd_name]

        def run(given: tuple[str, ...]) -> None:
            before = sys.argv
            sys.argv = [f"sigilla bench {cmd_name}", *given]
            try:
                runpy.run_path(str(path), run_name="__main__")
            finally:
                sys.argv = before

        return click.Command(
            cmd_name,
            callback=run,
            params=[click.Argument(["given"], nargs=-1, type=click.UNPROCESSED)],
            help=_summary(path),
            add_help_option=False,
            context_settings={"ignore_unknown_options": True},
        )


def _summary(path: Path) -> str:
    """The first line of the script's docstring, without running it."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


bench_app = typer.Typer(
    cls=_Benchmarks,
    no_args_is_help=True,
    help="Measure sigilla beside its peers.\n\n"
    "Every benchmark has its own options: [bold]sigilla bench clustering --help[/bold].",
)


@bench_app.callback()
def _bench() -> None:
    pass
