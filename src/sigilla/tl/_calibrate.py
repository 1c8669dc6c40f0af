"""How typical known signatures are of their class when a fit has not seen them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sigilla import get
from sigilla.batches import labels_as_fitted, read_as_fitted
from sigilla.errors import listed, require_count, require_jobs
from sigilla.logging import logger
from sigilla.models import METHODS
from sigilla.models._base import HELD_OUT
from sigilla.target import target_of
from sigilla.tl._folds import deal, units_of
from sigilla.tl._parallel import run
from sigilla.tl._typicality import Typicality, typicality
from sigilla.train import fit, resolve_device

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from sigilla.models import Config

    Indices = NDArray[np.intp]


def calibrate(
    adata: AnnData,
    key: str = "svqvae",
    *,
    unit: str | None = "pert_id",
    n_splits: int = 10,
    random_state: int = 0,
    n_jobs: int = 1,
    device: str = "auto",
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Learn how typical known signatures look to a code book that has not seen them.

    What :func:`sigilla.tl.mark_unknown` compares new signatures with. The method is fitted again
    without a part of the perturbagens at a time, with the options of the fit that is stored, and
    the signatures of that part are compared with the prototype of their nearest code. Signatures
    that a code book was fitted to look more typical than any new one, and would raise alarms.

    Parameters
    ----------
    adata
        An AnnData that a method with one code per class was fitted to, with its labels.
    key
        Name of the result.
    unit
        Column of ``obs`` with the perturbagen: false alarms are then stated for *new*
        perturbagens of known classes. A class of a single perturbagen says nothing of them; the
        log names it. ``None`` leaves out single signatures, for further wells of known
        perturbagens.
    n_splits
        Refits. With few of them, each misses much of the data, and alarms come out rarer than
        stated.
    random_state
        Seed of folds and fits.
    n_jobs
        Refits at a time, each in a process of its own; -1 is one for every core.
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ...
    progress
        Show a bar of refits; ``None`` on a terminal or in a notebook only.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields, one value for each signature that was left
    out; they are part of the model, and stay with it in every file:

    ``uns[key]['weights']['held_out_distance']``
        1 - Pearson correlation with the prototype of the nearest code.
    ``uns[key]['weights']['held_out_nearest']``
        Position of that code.
    ``uns[key]['weights']['held_out_strength']``
        Root mean square over genes.

    Raises
    ------
    KeyError
        Nothing is stored under ``key``, or no such column of ``obs``.
    DataError
        The method has no codes of classes, its labels or genes are gone, no class has two
        perturbagens, or there are more folds than they can fill.
    ValueError
        ``n_splits`` is below 2.

    References
    ----------
    Vovk 2015, Annals of Mathematics and Artificial Intelligence 74:9-28
    (doi 10.1007/s10472-013-9368-4; cross-conformal prediction)

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> sg.tl.calibrate(adata, n_splits=2)
    >>> adata.uns["svqvae"]["weights"]["held_out_distance"].shape
    (360,)
    """
    model = get.model(adata, key)
    require_count("n_splits", n_splits, least=2)
    require_jobs(n_jobs, every=-1)
    label = labels_as_fitted(adata, key, model.classes)
    where = str(resolve_device(device))
    units = np.arange(adata.n_obs) if unit is None else _units(adata, unit)
    x = read_as_fitted(adata, adata.uns[key])
    folds = deal(label, units, len(model.classes), n_splits, random_state)
    small = [name for name, n in zip(model.classes, folds.units_per_class, strict=True) if n == 1]
    if small:
        logger.warning(
            "classes with a single %s say nothing of false alarms: %s",
            "signature" if unit is None else f"value of obs[{unit!r}]",
            listed(small),
        )
    refits = (
        _Refit(
            model.name,
            model.config,
            x[folds.training(f)],
            label[folds.training(f)],
            x[folds.test(f)],
            random_state,
            where,
        )
        for f in range(n_splits)
    )
    options = {"n_jobs": n_jobs, "progress": progress, "title": "calibrate"}
    parts = list(run(_left_out, refits, total=n_splits, **options))
    target = target_of(adata, copy=copy)
    weights = dict(target.uns[key]["weights"])
    for name in ("distance", "nearest", "strength"):
        values = np.concatenate([getattr(part, name) for part in parts])
        weights[HELD_OUT + name] = values
    target.uns[key]["weights"] = weights
    return target if copy else None


@dataclass(frozen=True, slots=True)
class _Refit:
    method: str
    config: Config
    x: NDArray[np.float32]
    label: Indices
    asked: NDArray[np.float32]
    random_state: int
    device: str


def _left_out(job: _Refit) -> Typicality:
    """Fit without a part and look at it."""
    # A class that this part has all signatures of would only be a code of nothing.
    present, label = np.unique(job.label[job.label >= 0], return_inverse=True)
    known = np.full(len(job.label), -1)
    known[job.label >= 0] = label
    model = METHODS[job.method](
        job.config,
        n_features=job.x.shape[1],
        classes=[str(k) for k in present],
        seed=job.random_state,
    )
    options = {"random_state": job.random_state, "device": job.device, "progress": False}
    fit(model, job.x, known, **options)
    found = typicality(model, job.asked)
    return Typicality(present[found.nearest], found.distance, found.strength)


# -- what the model was fitted to ----------------------------------------------------------------


def _units(adata: AnnData, unit: str) -> Indices:
    try:
        return units_of(adata, unit)
    except KeyError as error:
        raise KeyError(f"{error.args[0]}. unit=None leaves out single signatures") from None
