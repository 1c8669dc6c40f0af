"""One vocabulary for the columns that each LINCS release names in its own way.

GEO 2017 (GSE70138, GSE92742), CLUE 2020 and the metadata inside GCTX files are told apart by
their column names alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

OBS = ("sig_id", "pert_id", "pert_iname", "pert_type", "cell_id", "dose", "time", "pcl", "moa")
"""The columns of ``obs`` that :func:`sigilla.io.read_lincs` promises, in order."""

SIG_KEYS = ("sig_id", "inst_id", "sample_id", "distil_id", "cid", "id")
GENE_KEYS = ("pr_gene_id", "gene_id", "pr_id", "rid", "id", "ensembl_id")
LANDMARK_KEYS = ("pr_is_lm", "pr_is_lmark", "is_lm", "is_landmark")

_OBS_ALIASES: Mapping[str, tuple[str, ...]] = {
    "pert_iname": ("pert_iname", "cmap_name"),
    "cell_id": ("cell_id", "cell_iname"),
    "moa": ("moa", "MOA"),
    "pcl": ("pcl", "PCL", "pcl_name"),
}
_VAR_ALIASES: Mapping[str, tuple[str, ...]] = {
    "gene_id": ("gene_id", "pr_gene_id"),
    "gene_symbol": ("gene_symbol", "pr_gene_symbol"),
    "gene_title": ("gene_title", "pr_gene_title"),
}

TEXT_COLUMNS = frozenset(
    {*SIG_KEYS, *GENE_KEYS, "pert_id", "pert_iname", "cmap_name", "cell_id", "cell_iname"}
    | {"pert_type", "pcl", "moa", "gene_symbol", "pr_gene_symbol", "broad_id", "brd_id"}
)
"""Columns of names, which stay text even where every one of them looks like a number."""

LANDMARK_COUNT = 978

_MICROMOLAR = {"um": 1.0, "nm": 1e-3, "pm": 1e-6, "mm": 1e3, "m": 1e6, "": 1.0}
_HOURS = {"h": 1.0, "hr": 1.0, "hrs": 1.0, "hour": 1.0, "hours": 1.0, "": 1.0}
_HOURS |= {"min": 1 / 60, "d": 24.0, "day": 24.0, "days": 24.0}
_MICRO = re.compile("Â?[µμ�]")  # the two micro signs of Unicode and what bad decoding makes of them
_QUANTITY = re.compile(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*")


def rename_obs(frame: pd.DataFrame) -> pd.DataFrame:
    """Signature columns under the names of the vocabulary."""
    return _rename(frame, _OBS_ALIASES)


def rename_var(frame: pd.DataFrame) -> pd.DataFrame:
    """Gene columns under the names of the vocabulary."""
    return _rename(frame, _VAR_ALIASES)


def _rename(frame: pd.DataFrame, aliases: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    names = {}
    for name, known in aliases.items():
        given = next((alias for alias in known if alias in frame), None)
        if given is not None and given != name:
            names[given] = name
    return frame.rename(columns=names)


def doses(frame: pd.DataFrame) -> pd.Series:
    """Micromolar; missing where there is none or its unit is no concentration (ng, ng/ml, %)."""
    nominal = _quantities(frame, "pert_idose", None, _MICROMOLAR)
    measured = _quantities(frame, "pert_dose", "pert_dose_unit", _MICROMOLAR)
    return nominal.fillna(measured).fillna(_quantities(frame, "dose", "dose_unit", _MICROMOLAR))


def times(frame: pd.DataFrame) -> pd.Series:
    """Hours."""
    nominal = _quantities(frame, "pert_itime", None, _HOURS)
    measured = _quantities(frame, "pert_time", "pert_time_unit", _HOURS)
    return nominal.fillna(measured).fillna(_quantities(frame, "time", "time_unit", _HOURS))


def _quantities(
    frame: pd.DataFrame, column: str, unit: str | None, factors: Mapping[str, float]
) -> pd.Series:
    if column not in frame:
        return pd.Series(np.nan, index=frame.index, dtype=np.float64)
    texts = frame[column].astype(str)
    if unit is not None and unit in frame:
        texts = texts + " " + frame[unit].astype(object).where(frame[unit].notna(), "").astype(str)
    codes, distinct = pd.factorize(texts)
    values = np.array([quantity(text, factors) for text in distinct], dtype=np.float64)
    return pd.Series(values[codes] if len(values) else np.nan, index=frame.index, dtype=np.float64)


def quantity(text: str, factors: Mapping[str, float]) -> float:
    """'10 uM' as 10.0 with the factor of its unit; NaN where it is no such quantity."""
    match = _QUANTITY.fullmatch(_MICRO.sub("u", text))
    factor = factors.get(match[2].lower()) if match else None
    try:
        return float(match[1]) * factor if match and factor is not None else np.nan
    except ValueError:  # '1.2.3'
        return np.nan


def landmark_flags(table: pd.DataFrame) -> pd.Series | None:
    """Which genes of a table are landmarks; None where it does not say."""
    if "feature_space" in table:
        return table["feature_space"] == "landmark"
    name = next((key for key in LANDMARK_KEYS if key in table), None)
    if name is not None:
        return table[name].astype(str).str.lower().isin({"1", "1.0", "true", "y", "yes"})
    return None
