"""The joins behind read_lincs: signatures and genes with the tables of their release."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sigilla.errors import DataError, listed
from sigilla.io._release_tables import as_text, best_key, fill_from, one_row_each, require_key
from sigilla.io._vocabulary import (
    GENE_KEYS,
    LANDMARK_COUNT,
    OBS,
    SIG_KEYS,
    doses,
    landmark_flags,
    rename_obs,
    rename_var,
    times,
)
from sigilla.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sigilla.io._classes import Classes

EXAMPLES = 5


@dataclass
class Report:
    """What did not match: told to the log, and kept in ``uns["lincs"]``."""

    stored: dict[str, Any] = field(default_factory=dict)

    def note(self, key: str, left: Iterable[object], sentence: str, *, warn: bool) -> None:
        """Keep how many were left and a few of them, and say so."""
        names = [str(name) for name in left]
        self.stored[f"n_{key}"] = len(names)
        if names:
            self.stored[key] = np.array(names[:EXAMPLES], dtype=object)
            say = logger.warning if warn else logger.info
            say("read_lincs: %d %s: %s", len(names), sentence, listed(names, EXAMPLES))


def join_signatures(
    own: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    classes: list[Classes] | None,
    report: Report,
) -> pd.DataFrame:
    """``obs`` of the whole file: its own columns and the tables', in one vocabulary."""
    obs = _join_sig_info(rename_obs(own), tables.get("sig_info"), report)
    for argument, keys in (("pert_info", ("pert_id", "pert_iname")), ("cell_info", ("cell_id",))):
        if argument in tables:
            obs = _join_by_name(obs, rename_obs(tables[argument]), keys, argument, report)
    obs = obs.assign(sig_id=obs.index.to_numpy(), dose=doses(obs), time=times(obs))
    if classes is not None:
        obs = _join_classes(obs, classes, report)
    for name in ("pert_id", "pert_iname", "pert_type", "cell_id", "pcl", "moa"):
        values = as_text(obs[name]) if name in obs else np.full(len(obs), np.nan, dtype=object)
        obs[name] = pd.Categorical(values)
    return obs[[*OBS, *(name for name in obs.columns if name not in OBS)]]


def _join_sig_info(obs: pd.DataFrame, table: pd.DataFrame | None, report: Report) -> pd.DataFrame:
    if table is None:
        return obs
    key = require_key(table, SIG_KEYS, obs.index, "sig_info", "signature id")
    ids = pd.Index(as_text(table[key]))
    if not ids.is_unique:
        repeated = ids[ids.duplicated() & ids.isin(obs.index)].unique()
        if len(repeated):
            raise DataError(f"sig_info describes {listed(repeated)} more than once in {key!r}.")
        table, ids = table[~ids.duplicated()], ids[~ids.duplicated()]
    at = ids.get_indexer(obs.index)
    report.note(
        "signatures_without_info", obs.index[at < 0], "signatures are not in sig_info", warn=True
    )
    report.stored["n_sig_info_not_in_file"] = len(table) - int((at >= 0).sum())
    # The table is the release's word; the file's own columns fill what it leaves open.
    told = fill_from(pd.DataFrame(index=obs.index), rename_obs(table), at)
    return fill_from(told, obs, np.arange(len(obs)))


def _join_by_name(
    obs: pd.DataFrame,
    table: pd.DataFrame,
    keys: tuple[str, ...],
    argument: str,
    report: Report,
) -> pd.DataFrame:
    shared = [key for key in keys if key in obs and key in table]
    if not shared:
        raise DataError(
            f"{argument} cannot be joined: none of {listed(keys)} is in both its columns "
            f"({listed(table.columns)}) and the signatures' ({listed(obs.columns)}). Pass sig_info."
        )
    key = max(
        shared, key=lambda name: best_key(table, [name], pd.Index(as_text(obs.loc[:, name])))[1]
    )
    table = one_row_each(table, key)
    names = pd.Index(as_text(obs[key]))
    at = pd.Index(as_text(table[key])).get_indexer(names)
    left = names[(at < 0) & names.notna()].unique()
    report.note(f"not_in_{argument}", left, f"{key} are not in {argument}", warn=False)
    return fill_from(obs, table.drop(columns=key), at)


def _join_classes(obs: pd.DataFrame, classes: list[Classes], report: Report) -> pd.DataFrame:
    absent = pd.Series(np.nan, index=obs.index, dtype=object)
    perts = pd.DataFrame({n: obs.get(n, absent) for n in ("pert_id", "pert_iname")}).astype(object)
    codes = perts.groupby(["pert_id", "pert_iname"], dropna=False, sort=False).ngroup().to_numpy()
    distinct = perts.drop_duplicates()
    found: list[list[str]] = [
        next(filter(None, (source.of(*pair) for source in classes)), [])
        for pair in distinct.itertuples(index=False, name=None)
    ]
    first, joined = np.empty(len(found), dtype=object), np.empty(len(found), dtype=object)
    first[:] = [names[0] if names else np.nan for names in found]
    joined[:] = ["|".join(names) if names else np.nan for names in found]
    names = distinct["pert_iname"].where(distinct["pert_iname"].notna(), distinct["pert_id"])
    report.note(
        "perts_without_class",
        names[[not f for f in found]].unique(),
        "perts have no class",
        warn=False,
    )
    report.note(
        "perts_with_several_classes",
        names[[len(f) > 1 for f in found]].unique(),
        "perts have several classes, of which the first is used",
        warn=False,
    )
    obs = obs.assign(pcl=first[codes])
    if all(source.mechanisms for source in classes):
        told = obs.get("moa", absent).astype(object)
        obs = obs.assign(moa=told.where(told.notna(), joined[codes]))
    elif any(len(f) > 1 for f in found):
        obs = obs.assign(pcl_all=joined[codes])
    labelled = int(obs["pcl"].notna().sum())
    report.stored |= {"n_labelled": labelled, "n_classes": int(obs["pcl"].nunique())}
    say = logger.info if labelled else logger.warning
    say("read_lincs: %d of %d signatures have a class", labelled, len(obs))
    return obs


def join_genes(own: pd.DataFrame, table: pd.DataFrame | None, report: Report) -> pd.DataFrame:
    """``var`` of the whole file: its own columns and gene_info's, in one vocabulary."""
    flags = landmark_flags(own)
    var = rename_var(own)
    if table is not None:
        told = landmark_flags(table)
        if told is None and len(table) == LANDMARK_COUNT:
            told = pd.Series(data=True, index=table.index)
        sides = [own.index, *(pd.Index(as_text(own[k])) for k in GENE_KEYS if k in own)]
        ids = max(sides, key=lambda side: best_key(table, GENE_KEYS, side)[1])
        key = require_key(table, GENE_KEYS, ids, "gene_info", "gene id")
        unique = ~table[key].duplicated()
        at = pd.Index(as_text(table[key][unique])).get_indexer(ids)
        var = fill_from(var, rename_var(table[unique]), at)
        if told is not None:
            flags = pd.Series((at >= 0) & told[unique].to_numpy()[at], var.index)
        report.note(
            "genes_without_info", own.index[at < 0], "genes are not in gene_info", warn=True
        )
    if flags is None and len(var) == LANDMARK_COUNT:
        flags = pd.Series(data=True, index=var.index)
    if "gene_id" in var:
        var["gene_id"] = as_text(var["gene_id"])
    elif all(name.isdigit() for name in var.index):
        var["gene_id"] = var.index.to_numpy()
    if flags is not None:
        var["is_landmark"] = flags.to_numpy(dtype=bool)
    order = ("gene_id", "gene_symbol", "gene_title", "is_landmark")
    return var[[*(n for n in order if n in var), *(n for n in var.columns if n not in order)]]
