"""Reports on which perturbagen classes act alike, for one data set or a night's batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sigilla.errors import DataError, listed, require_jobs
from sigilla.logging import logger
from sigilla.report._index import write_index
from sigilla.report._inputs import data_sets
from sigilla.report._job import read_job
from sigilla.report._pieces import pieces
from sigilla.report._reports import Reports
from sigilla.report._request import Request
from sigilla.report._run import run

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from sigilla.report._inputs import DataSet, Source
    from sigilla.report._pieces import Piece
    from sigilla.report._run import Outcome


def pcl_correlation(
    inputs: Source | Sequence[Source] | Mapping[str, Source],
    out: str | Path | None = None,
    *,
    key: str = "svqvae",
    label_key: str | None = None,
    layer: str | None = None,
    space: Literal["genes", "latent"] | None = None,
    n_genes: int = 10,
    n_splits: int | None = None,
    n_boot: int = 200,
    n_perm: int = 500,
    title: str | None = None,
    options: Mapping[str, Any] | None = None,
    per: str | None = None,
    release: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    scheduler: str | None = None,
    random_state: int = 0,
    date: dt.date | Literal["today"] | None = "today",
    progress: bool | None = None,
) -> Reports:
    """Write pages that say which perturbagen classes act alike, and how far to trust it.

    A data set that has no result under ``key`` is fitted with :func:`sigilla.tl.svqvae` first; the
    AnnData given is left as it is. A report that is in its folder already, made from the same
    content with the same arguments by the same version of sigilla, is kept and not made again:
    a job that was interrupted goes on when it is started again.

    Parameters
    ----------
    inputs
        An AnnData or the path of an ``.h5ad``, ``.gctx`` or ``.gct`` file, or several as a list,
        or as a dict by name; or the path of a job file (``.toml``), which says all of this.
    out
        Folder to write to; made where it does not exist. Several data sets get a folder each in it
        and share an index page. ``None`` is the folder that the job file names.
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
    per
        Column of ``obs``, such as ``"cell_id"``: beside the report on the whole data set, one on
        the signatures of each of its values, fitted to these alone. A value without two classes
        of five signatures is skipped.
    release
        Tables of the release that ``.gctx`` files belong to: arguments of
        :func:`sigilla.io.read_lincs`, such as ``{"sig_info": path, "classes": path}``.
    n_jobs
        Processes to make reports in, where there are several; ``None`` is one for each core, 1 is
        this process alone.
    scheduler
        Address of a dask scheduler (``tcp://...``) whose workers make the reports; they must see
        the same files.
    random_state
        Seed of the fit and of the splits.
    date
        Date to print; ``None`` prints none and keeps no times, so that the same data give the same
        files.
    progress
        Show bars: of the fits where one report is made, of the reports where several are; ``None``
        on a terminal or in a notebook only.

    Returns
    -------
    The page of each report, ``report.html``, in a list with a ``table`` of what became of each
    data set (:class:`Reports`). Beside the page lie its tables as CSV files, ``fitted.h5ad``, and
    ``piece.json``, which says what they were made from. All files are written in full before the
    first takes its name.

    Raises
    ------
    FileError
        An input is not there or not readable; ``out`` cannot be written; no scheduler answers.
    KeyError, DataError, ValueError
        As :func:`sigilla.tl.svqvae` and :func:`sigilla.get.code_correlation`. Nothing is written.
        Of several data sets, one that fails is logged and named with its reason on the index and
        in ``table``, and the others are reported; ``DataError`` if none is left.

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
    request = Request(
        key=key,
        label_key=label_key,
        layer=layer,
        space=space,
        n_genes=n_genes,
        n_splits=n_splits,
        n_boot=n_boot,
        n_perm=n_perm,
        title=title,
        options=options or {},
        per=per,
        random_state=random_state,
        date=date,
    )
    require_jobs(n_jobs, every=None)
    found, folder = _asked(inputs, out, request, release or {})
    if folder.exists() and not folder.is_dir():
        raise DataError(f"out={str(folder)!r} is a file; name a folder")
    single = len(found) == 1 and found[0].request.per is None
    todo = [
        piece
        for data_set in found
        for piece in pieces(data_set, folder if single else folder / data_set.folder)
    ]
    outcomes = run(todo, n_jobs=n_jobs, scheduler=scheduler, progress=progress)
    if single:
        if outcomes[0].error is not None:
            raise outcomes[0].error
        return Reports(outcomes)
    return _indexed(folder, todo, outcomes, request)


def _asked(
    inputs: Source | Sequence[Source] | Mapping[str, Source],
    out: str | Path | None,
    request: Request,
    release: Mapping[str, Any],
) -> tuple[list[DataSet], Path]:
    """The data sets and the folder to write to, told by the arguments or by a job file."""
    job_file = _job_file(inputs)
    if job_file is None:
        if out is None:
            raise DataError("out=None: name a folder to write to")
        return data_sets(inputs, request, release), Path(out)
    told_twice = [*request.changed(), *(["release"] if release else [])]
    if set(told_twice) - {"date"}:
        raise DataError(f"{listed(told_twice)}: with a job file, say it in {job_file.name}")
    job = read_job(job_file, date=request.date)
    if out is None and job.out is None:
        raise DataError(f'{job_file.name} names no folder; add out = "reports", or give out')
    return job.data_sets, Path(out or job.out)


def _job_file(inputs: Source | Sequence[Source] | Mapping[str, Source]) -> Path | None:
    given = inputs if isinstance(inputs, list | tuple) else [inputs]
    files = [Path(f) for f in given if isinstance(f, str | Path) and Path(f).suffix == ".toml"]
    if files and len(given) > 1:
        raise DataError(f"inputs: the job file {files[0].name!r} goes alone; give one at a time")
    return files[0] if files else None


def _indexed(
    folder: Path, todo: Sequence[Piece], outcomes: Sequence[Outcome], request: Request
) -> Reports:
    lost = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in lost:
        logger.error("%s: %s", outcome.name, outcome.reason)
    checksums = {piece.data_set.name: piece.checksums for piece in todo}
    reports = Reports(outcomes, write_index(folder, outcomes, checksums, date=request.day()))
    if not reports:
        raise DataError(
            f"no report could be made, {len(lost)} failed; the first, {lost[0].name!r}: "
            f"{lost[0].reason}"
        )
    return reports
