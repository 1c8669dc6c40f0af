from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sigilla import get, tl
from sigilla.errors import DataError
from sigilla.logging import logger
from sigilla.report._facts import facts
from sigilla.report._figures import pictures
from sigilla.report._files import make_folder, write_all, write_csv
from sigilla.report._held_out import N_FOLDS, PERTURBAGEN_KEYS, held_out
from sigilla.report._inputs import data_sets
from sigilla.report._page import render
from sigilla.report._provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from anndata import AnnData

    from sigilla.report._inputs import DataSet, Source


def pcl_correlation(
    inputs: Source | Sequence[Source] | Mapping[str, Source],
    out: str | Path,
    *,
    key: str = "svqvae",
    label_key: str | None = None,
    layer: str | None = None,
    space: Literal["genes", "latent"] | None = None,
    n_genes: int = 10,
    n_splits: int | None = None,
    n_boot: int = 200,
    n_perm: int = 200,
    title: str | None = None,
    options: Mapping[str, Any] | None = None,
    random_state: int = 0,
    date: dt.date | Literal["today"] | None = "today",
    progress: bool | None = None,
) -> list[Path]:
    """Write a page that says which perturbagen classes act alike, and how far to trust it.

    A data set that has no result under ``key`` is fitted with :func:`sigilla.tl.svqvae` first; the
    AnnData given is left as it is.

    Parameters
    ----------
    inputs
        An AnnData or the path of an ``.h5ad`` file, or several as a list, or as a dict by name.
    out
        Folder to write to; made where it does not exist. Several data sets get a folder each in it.
    key
        Name of the result.
    label_key
        Column of ``obs`` with the class of each signature, for data that are not fitted yet;
        ``None`` is ``"pcl"``.
    layer
        Matrix to fit in place of ``X``, for data that are not fitted yet.
    space
        Where to correlate; see :func:`sigilla.get.code_correlation`.
    n_genes
        Top genes per class and direction.
    n_splits
        Refits that measure held-out accuracy, each without a fifth of the labelled signatures: 0 to
        5. ``None`` makes 5 up to 1,000 labelled signatures, and 1 beyond.
    n_boot, n_perm
        Draws and permutations of :func:`sigilla.tl.code_correlation`, which is run where the
        result has classes and no statistics yet.
    title
        Heading of the page; the data set's name by default.
    options
        Options of :func:`sigilla.tl.svqvae`, for data that are not fitted yet.
    random_state
        Seed of the fit and of the splits.
    date
        Date to print; ``None`` prints none, so that the same data give the same page.
    progress
        Show bars; ``None`` on a terminal or in a notebook only.

    Returns
    -------
    The page of each data set, ``report.html``. Beside it lie ``code_correlation.csv``,
    ``nearest_codes.csv``, ``top_genes.csv`` (where there are genes) and ``fitted.h5ad``. All files
    are written in full before the first takes its name.

    Raises
    ------
    FileError
        An input is not there or not readable; ``out`` cannot be written.
    KeyError, DataError, ValueError
        As :func:`sigilla.tl.svqvae` and :func:`sigilla.get.code_correlation`. Nothing is written.

    References
    ----------
    Xue, Ding & Lu 2019, arXiv:1909.11124

    Examples
    --------
    >>> import tempfile
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=30, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (page,) = sg.report.pcl_correlation(
    ...         adata, folder, n_splits=1, options={"max_epochs": 2}
    ...     )
    ...     page.name
    'report.html'
    """
    if n_genes < 1:
        raise ValueError(f"n_genes={n_genes!r} must be at least 1")
    if n_splits is not None and not 0 <= n_splits <= N_FOLDS:
        raise ValueError(f"n_splits={n_splits!r} must lie between 0 and {N_FOLDS}")
    found = data_sets(inputs)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise DataError(f"out={str(out)!r} is a file; name a folder")
    pages = []
    for data_set in found:
        logger.info("Report on %s", data_set.name)
        adata = data_set.read()
        if key not in adata.uns:
            adata = tl.svqvae(
                adata,
                label_key or "pcl",
                layer=layer,
                key_added=key,
                random_state=random_state,
                progress=progress,
                copy=True,
                **(options or {}),
            )
        _require_label(adata, key, label_key)
        files = _contents(
            adata,
            data_set,
            key=key,
            space=space,
            n_genes=n_genes,
            n_splits=n_splits,
            n_boot=n_boot,
            n_perm=n_perm,
            title=title or data_set.name,
            random_state=random_state,
            date=dt.datetime.now(tz=dt.UTC).date() if date == "today" else date,
            progress=progress,
        )
        folder = out if len(found) == 1 else out / data_set.folder
        make_folder(folder)
        write_all(folder, files)
        pages.append(folder / "report.html")
    return pages


def _require_label(adata: AnnData, key: str, label_key: str | None) -> None:
    fitted = adata.uns[key].get("params", {}).get("label_key")
    if label_key is not None and fitted is not None and str(fitted) != label_key:
        raise DataError(
            f"label_key={label_key!r}, but key={key!r} was fitted to obs[{str(fitted)!r}]; leave "
            "label_key out, or name another key to fit again"
        )


def _contents(
    adata: AnnData,
    data_set: DataSet,
    *,
    key: str,
    space: str | None,
    n_genes: int,
    n_splits: int | None,
    n_boot: int,
    n_perm: int,
    title: str,
    random_state: int,
    date: dt.date | None,
    progress: bool | None,
) -> dict[str, Callable[[Path], object]]:
    """What to write under which name; the page comes first and is renamed last."""
    # What the page is about must be there before anything is refitted.
    get.code_correlation(adata, key, space=space)
    adata = _with_statistics(
        adata, key, space=space, n_boot=n_boot, n_perm=n_perm, random_state=random_state
    )
    measured = held_out(adata, key, n_splits=n_splits, random_state=random_state, progress=progress)
    told = facts(adata, key, space=space, n_genes=n_genes, measured=measured)
    page = render(
        title=title,
        told=told,
        measured=measured,
        drawn=pictures(adata, key, told),
        origin=provenance(adata, data_set, key=key, random_state=random_state, date=date),
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


def _with_statistics(adata: AnnData, key: str, **options: Any) -> AnnData:
    """The data with intervals and p-values, where there are classes to resample."""
    stored = adata.uns[key]
    label_key = stored["params"].get("label_key")
    if "code_correlation_stats" in stored or label_key is None or str(label_key) not in adata.obs:
        return adata
    unit = next((column for column in PERTURBAGEN_KEYS if column in adata.obs), None)
    return tl.code_correlation(adata, key, unit=unit, copy=True, **options)


def _csv(table: pd.DataFrame, *, index: bool) -> Callable[[Path], object]:
    return lambda path: write_csv(table, path, index=index)
