"""Signatures that belong to no class, at a stated rate of false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from sigilla import keys
from sigilla.errors import DataError, require_between, unknown_name
from sigilla.logging import logger
from sigilla.target import target_of
from sigilla.tl._map_query import model_of, read_query
from sigilla.tl._typicality import ENOUGH, Typicality, conformal_pvalues, typicality
from sigilla.train import resolve_device

if TYPE_CHECKING:
    from anndata import AnnData

    from sigilla.models import Model

_WITHIN = ("class", "strength", None)


def mark_unknown(
    query: AnnData,
    reference: AnnData | Model,
    *,
    key: str = "svqvae",
    false_alarm_rate: float = 0.05,
    within: Literal["class", "strength"] | None = "class",
    layer: str | None = None,
    gene_key: str | None = None,
    min_overlap: float = 0.8,
    key_added: str | None = None,
    device: str = "auto",
    copy: bool = False,
) -> AnnData | None:
    """Mark signatures that look like no known class, at a stated rate of false alarms.

    The nearest code says which class a signature looks like most, and says so of anything. Here
    its correlation with that code's prototype is compared with those of known signatures that
    fits had not seen (:func:`sigilla.tl.calibrate`). The p-value is the share of them that agree
    no better with their own nearest code. Of known signatures, new ones like those left out, at
    most ``false_alarm_rate`` are marked on average.

    What is caught depends on the data: a new class that acts like a known one looks like it, and
    vehicle looks like any known signature that is too weak to say anything. An unmarked
    signature has not been shown to belong to its class.

    Parameters
    ----------
    query
        Observations x genes, on the scale that the model was trained on; none of those that it
        was fitted to, which look more typical than new ones.
    reference
        A calibrated AnnData, or a model of one (:func:`sigilla.models.load`).
    key
        Where the AnnData keeps its model.
    false_alarm_rate
        Share of known signatures that may be marked, between 0 and 1.
    within
        ``"class"`` compares a signature with known ones of the same nearest code, so that the
        rate holds for each such class; codes that fewer than 50 left-out signatures fell to are
        taken together. ``"strength"`` compares it with the third of known
        signatures that are about as strong, so that strong ones are expected to agree better:
        catches more new classes and less vehicle. ``None`` compares it with all, the choice for
        rates below .02, which a group of 50 cannot reach.
    layer
        Matrix of ``query`` to use in place of ``X``.
    gene_key
        Column of ``query.var`` with the model's kind of gene names; default ``var_names``.
    min_overlap
        Smallest share of the model's genes that the query must have, 0 to 1. Missing genes do not
        enter correlations.
    key_added
        Replaces ``key`` in the names below.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    copy
        Return a changed copy and leave ``query`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following fields:

    ``obs['svqvae_unknown']``
        Whether the p-value is at most ``false_alarm_rate``.
    ``obs['svqvae_unknown_pvalue']``
        The conformal p-value of "belongs to a known class".
    ``uns['svqvae_unknown']``
        ``false_alarm_rate``, ``within``, and ``n_known``, the left-out signatures that it rests on.

    Raises
    ------
    DataError
        The reference is not calibrated, has too few left-out signatures for the rate, or too few
        of its genes are in the query.
    ValueError
        An option outside its bounds.

    References
    ----------
    Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World (conformal p-values, also
    within groups); Vovk 2015, doi 10.1007/s10472-013-9368-4 (left-out scores by cross-validation)

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(class_sizes=[120] * 3, n_genes=30, random_state=0)
    >>> reference, query = adata[::2].copy(), adata[1::2].copy()
    >>> sg.tl.svqvae(reference, max_epochs=2)
    >>> sg.tl.calibrate(reference, n_splits=2)
    >>> sg.tl.mark_unknown(query, reference, false_alarm_rate=0.1)
    >>> query.obs["svqvae_unknown"].dtype
    dtype('bool')
    """
    model = model_of(reference, key)
    require_between("false_alarm_rate", false_alarm_rate, 0, 1)
    name = keys.checked(key_added or key)
    if within not in _WITHIN:
        raise ValueError(unknown_name("within", within, ["class", "strength", "None"]))
    where = resolve_device(device)
    known = _known(model, false_alarm_rate)
    seen = read_query(query, model, layer=layer, gene_key=gene_key, min_overlap=min_overlap)
    asked = typicality(model.to(where), seen.x, seen.columns >= 0)
    p = conformal_pvalues(known, asked, within=within)
    if within is not None and (ENOUGH + 1) * false_alarm_rate < 1:
        logger.warning(
            "false_alarm_rate=%g is out of reach of groups of %d known signatures: some new ones "
            "cannot be marked; within=None compares with all",
            false_alarm_rate,
            ENOUGH,
        )
    marked = p <= false_alarm_rate
    logger.info(
        "%d of %d signatures look like no known class (false-alarm rate %g)",
        marked.sum(),
        len(marked),
        false_alarm_rate,
    )
    target = target_of(query, copy=copy)
    target.obs[keys.unknown(name)] = marked
    target.obs[keys.unknown_pvalue(name)] = p
    target.uns[keys.unknown(name)] = {
        "false_alarm_rate": false_alarm_rate,
        "within": "all" if within is None else within,
        "n_known": len(known.distance),
    }
    return target if copy else None


def _known(model: Model, false_alarm_rate: float) -> Typicality:
    held_out = model.held_out()
    if not held_out:
        raise DataError(
            "the reference does not know what its classes look like to a fit that has not seen "
            "them; run sg.tl.calibrate(reference) first"
        )
    n = len(held_out["distance"])
    # p-values are 1 / (n + 1) at least: with fewer signatures nothing could ever be marked.
    if (n + 1) * false_alarm_rate < 1:
        raise DataError(
            f"false_alarm_rate={false_alarm_rate!r} needs {int(np.ceil(1 / false_alarm_rate)) - 1} "
            f"left-out signatures, and the reference has {n}; raise the rate"
        )
    return Typicality(held_out["nearest"], held_out["distance"], held_out["strength"])
