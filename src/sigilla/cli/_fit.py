"""``sigilla fit METHOD``: a command for each method, made from its verb when asked for."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperGroup

from sigilla.cli._arguments import RELEASE, SAMPLES, Input, OutFile
from sigilla.cli._files import leads, opened, read, say, step, writable, write
from sigilla.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

# Verbs that fit without a model of their own, and so are not in the registry.
_COMPOSED = ("ifpca", "ifvae")


class _Methods(TyperGroup):
    """``sigilla fit METHOD``, where METHOD comes from the registry."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        import sigilla as sg

        return [*sg.models.METHODS, *(name for name in _COMPOSED if name in sg.tl.__all__)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        names = self.list_commands(ctx)
        if cmd_name not in names:
            raise ValueError(unknown_name("METHOD", cmd_name, names))
        single = typer.Typer(rich_markup_mode="rich", add_completion=False)
        single.command(cmd_name)(_fit_command(cmd_name))
        return typer.main.get_command(single)


fit_app = typer.Typer(
    cls=_Methods,
    no_args_is_help=True,
    help="Fit a method and write the annotated signatures.\n\n"
    "[bold]sigilla fit METHOD INPUT --label KEY --out FILE[/bold]\n\n"
    "Every method has its own options: [bold]sigilla fit svqvae --help[/bold].",
)


@fit_app.callback()
def _fit() -> None:
    pass


def _fit_command(name: str) -> Callable[..., None]:
    """The command of a method: what every fit needs, then the verb's own options as flags."""
    import sigilla as sg

    verb = getattr(sg.tl, name)
    summary, *_ = (inspect.getdoc(verb) or "").split("\n\n")

    reading = RELEASE | SAMPLES

    def run(**given: Any) -> None:
        out = writable(given.pop("out"))
        told = {name: given.pop(name) for name in reading}
        path = given.pop("input")
        adata = opened(path) if given.get("from_disk") else read(path, **told)
        with step(f"fit {name}"):
            verb(adata, **given)
        write(adata, out)
        if leads():
            say(f"wrote {out}")

    required, optional = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("input", required, annotation=Input),
        inspect.Parameter("out", optional, annotation=OutFile),
        *(inspect.Parameter(n, optional, default=None, annotation=a) for n, a in reading.items()),
        *_flags(verb),
    ]
    # Where inspect looks first.
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    label = " --label pcl" if any(p.name == "label_key" for p in parameters) else ""
    run.__doc__ = (
        f"{summary}\n\n[bold]Examples[/bold]\n\n"
        f"sigilla fit {name} signatures.h5ad{label} --out fitted.h5ad\n\n"
        f"sigilla fit {name} level5.gctx --sig-info sig_info.txt.gz --gene-info gene_info.txt.gz "
        f"--classes pcl.tsv{label} --out fitted.h5ad"
    )
    return run


def _flags(verb: Callable[..., Any]) -> list[inspect.Parameter]:
    """The options of a verb that a command line can give, with the help from its docstring."""
    import anndata
    import numpy as np
    from numpy.typing import NDArray

    names = {"AnnData": anndata.AnnData, "np": np, "NDArray": NDArray, "Path": Path}
    helps = _parameter_docs(inspect.getdoc(verb) or "") | {"key_added": "Name of the result."}
    flags = []
    for p in inspect.signature(verb).parameters.values():
        kind = _flag_type(_hint(p, names))
        if p.name in {"adata", "copy", "progress"} or kind is None:
            continue
        spelling = ["--label"] if p.name == "label_key" else []
        option = typer.Option(*spelling, help=helps.get(p.name, ""), rich_help_panel="Method")
        flags.append(p.replace(kind=p.KEYWORD_ONLY, annotation=Annotated[kind, option]))
    return flags


def _hint(p: inspect.Parameter, names: dict[str, Any]) -> Any:
    """The type of a parameter; that of its default where the annotation is for checkers only."""
    if not isinstance(p.annotation, str):
        return p.annotation
    try:
        return eval(p.annotation, names)  # noqa: S307 - an annotation in our own source
    except NameError:
        return type(p.default)


def _flag_type(hint: Any) -> Any:
    """The part of a type that one word on a command line can spell; None where there is none."""
    members = get_args(hint) if NoneType in get_args(hint) else (hint,)
    plain = {int, float, str, bool}
    spelled = [m for m in members if m in plain or get_origin(m) is Literal]
    if not spelled:
        return None
    return spelled[0] | None if NoneType in members else spelled[0]


def _parameter_docs(doc: str) -> dict[str, str]:
    """The entries of a numpydoc "Parameters" section as plain words.

    Without the default, which typer shows, and the marks that only Sphinx reads.
    """
    from rich.markup import escape

    section = doc.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", section, flags=re.MULTILINE)
    plain = {}
    for names, text in entries:
        words = " ".join(text.split()).partition(" Default: ``")[0]
        words = escape(re.sub(r":\w+:`~?([^`]*)`", r"\1", words).replace("``", ""))
        plain |= dict.fromkeys(names.split(", "), words)
    return plain
