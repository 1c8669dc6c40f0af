"""One report, from its observations to the files in its folder."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from sigilla import get, tl
from sigilla.errors import DataError
from sigilla.logging import logger
from sigilla.report import _manifest
from sigilla.report._facts import facts
from sigilla.report._figures import pictures
from sigilla.report._files import new_folder, sweep, write_all, write_csv
from sigilla.report._held_out import PERTURBAGEN_KEYS, HeldOut, held_out
from sigilla.report._page import render
from sigilla.report._pairs import FDR
from sigilla.report._provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData

    from sigilla.report._facts import Facts
    from sigilla.report._pieces import Piece
    from sigilla.report._request import Request


def make(piece: Piece, *, progress: bool | None = None) -> dict[str, Any]:
    """Write the report and return its line on the index.

    Whatever stops it leaves an earlier report as it was, and no new folder.
    """
    logger.info("Report on %s", piece.name)
    request = piece.data_set.request
    adata = _fitted(piece, progress)
    # What the page is about must be there before anything is refitted.
    get.code_correlation(adata, request.key, space=request.space)
    _add_statistics(adata, request)
    measured = held_out(
        adata,
        request.key,
        n_splits=request.n_splits,
        random_state=request.random_state,
        progress=progress,
    )
    told = facts(
        adata, request.key, space=request.space, n_genes=request.n_genes, measured=measured
    )
    files = _files(adata, piece, told, measured)
    row = _row(adata, request.key, told, measured)
    before = _manifest.files(piece.folder)
    with new_folder(piece.folder):
        sweep(piece.folder, [*files, _manifest.NAME])
        write_all(piece.folder, files)
        for name in before - set(files):
            (piece.folder / name).unlink(missing_ok=True)
        _manifest.write(piece.folder, piece.made_from(), files, row)
    return row


# -- the model --------------------------------------------------------------------------------


def _fitted(piece: Piece, progress: bool | None) -> AnnData:
    """The observations with a result, in an AnnData that is ours to change."""
    request = piece.data_set.request
    key = request.key
    adata = piece.read()
    if adata is piece.data_set.source:
        adata = adata.copy()
    if key in adata.uns:
        _require_label(adata, key, request.label_key)
        if piece.value is None:
            return adata
        fit, options = _as_before(adata, key)
    else:
        fit, options = tl.svqvae, dict(request.options)
        options |= {"label_key": request.label_key or "pcl", "layer": request.layer}
    seed = request.random_state
    fit(adata, key_added=key, random_state=seed, progress=progress, **options)
    if request.date is None:
        # What differs from run to run: the same data shall give the same file.
        adata.uns[key]["history"].pop("seconds", None)
    return adata


def _as_before(adata: AnnData, key: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The verb and options that the stored result was made with."""
    stored = adata.uns[key]
    params = stored["params"]
    options = dataclasses.asdict(get.model(adata, key).config)
    for name in ("label_key", "layer", "use_rep"):
        options[name] = None if params.get(name) is None else str(params[name])
    if options["use_rep"] is None:
        options["mask_var"] = np.isin(adata.var_names, [str(g) for g in stored["genes"]])
    return getattr(tl, str(stored["method"])), options


def _require_label(adata: AnnData, key: str, label_key: str | None) -> None:
    fitted = adata.uns[key].get("params", {}).get("label_key")
    if label_key is not None and fitted is not None and str(fitted) != label_key:
        raise DataError(
            f"label_key={label_key!r}, but key={key!r} was fitted to obs[{str(fitted)!r}]; leave "
            "label_key out, or name another key to fit again"
        )


def _add_statistics(adata: AnnData, request: Request) -> None:
    """Intervals and p-values, where there are classes to resample."""
    stored = adata.uns[request.key]
    label_key = stored["params"].get("label_key")
    if "code_correlation_stats" in stored or label_key is None or str(label_key) not in adata.obs:
        return
    if stored["params"].get("use_rep") is not None and request.space != "latent":
        return  # decoded codes are no profiles of genes
    tl.code_correlation(
        adata,
        request.key,
        space=request.space,
        n_boot=request.n_boot,
        n_perm=request.n_perm,
        unit=next((column for column in PERTURBAGEN_KEYS if column in adata.obs), None),
        random_state=request.random_state,
    )


# -- what is written --------------------------------------------------------------------------


def _files(
    adata: AnnData, piece: Piece, told: Facts, measured: HeldOut | str
) -> dict[str, Callable[[Path], object]]:
    """What to write under which name; the page comes first and is renamed last."""
    key = piece.data_set.request.key
    page = render(
        title=piece.title,
        told=told,
        measured=measured,
        drawn=pictures(adata, key, told),
        origin=provenance(adata, piece),
        method=str(adata.uns[key]["method"]),
        files=[*told.tables, "fitted.h5ad"],
    )
    files: dict[str, Callable[[Path], object]] = {
        "report.html": lambda path: path.write_text(page, encoding="utf-8"),
        "fitted.h5ad": adata.write_h5ad,
    }
    for name, table in told.tables.items():
        files[name] = _csv(table, index=table.index.name is not None)
    return files


def _csv(table: pd.DataFrame, *, index: bool) -> Callable[[Path], object]:
    return lambda path: write_csv(table, path, index=index)


def _row(adata: AnnData, key: str, told: Facts, measured: HeldOut | str) -> dict[str, Any]:
    """What the index says of the report; ``None`` for what was not measured."""
    first = told.classes.iloc[0]
    row: dict[str, Any] = {
        "signatures": adata.n_obs,
        "classes": len(told.classes),
        "accuracy": measured.accuracies[0].value if isinstance(measured, HeldOut) else None,
        "pairs": None,
        "significant": None,
        "pair": [str(first["class"]), str(first["nearest"])],
        "correlation": float(first["correlation"]),
    }
    if "code_correlation_stats" in adata.uns[key]:
        tested = get.code_correlation_stats(adata, key).dropna(subset=["qvalue"])
        if len(tested):
            surest = tested.loc[tested["pvalue"].idxmin()]
            row |= {
                "pairs": len(tested),
                "significant": int((tested["qvalue"] <= FDR).sum()),
                "pair": [str(surest["class_a"]), str(surest["class_b"])],
                "correlation": float(surest["r"]),
            }
    return row
