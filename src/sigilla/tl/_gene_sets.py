"""What a class does to known sets of genes: preranked enrichment of its prototype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from sigilla import get, io
from sigilla.errors import DataError, FileError, listed, require_count, require_not_negative
from sigilla.get._genes import symbols
from sigilla.logging import logger
from sigilla.metrics._fdr import false_discovery_rate
from sigilla.seed import checked_seed
from sigilla.target import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GeneSets: TypeAlias = "Mapping[str, Sequence[str]] | pd.DataFrame | str | Path"


def gene_sets(
    adata: AnnData,
    gene_sets: GeneSets,
    *,
    key: str = "svqvae",
    gene_symbols: str | None = None,
    min_size: int = 5,
    max_size: int = 500,
    weight: float = 1.0,
    n_perm: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    copy: bool = False,
) -> AnnData | None:
    """Which gene sets the prototype of each class raises or lowers: preranked GSEA.

    The genes of a prototype are ordered from the most raised to the most lowered, and a set scores
    by how far its genes lie towards one end (:func:`sigilla.metrics.enrichment_score`). p-values
    are those of random sets of the same size, by the adaptive sampling of Korotkevich et al., so
    that small ones are resolved. They say that a set stands out from other genes of this
    prototype; as genes are correlated, they do not say that it would in other signatures.

    Needs GSEApy: ``pip install "sigilla[enrichment]"``. Nothing is downloaded.

    Parameters
    ----------
    adata
        A fitted or mapped AnnData.
    gene_sets
        The genes of each set: ``{"name": [genes], ...}``; a GMT file; or a DataFrame with one row
        per set and gene, in the columns ``source`` and ``target`` or else in its first two.
    key
        Name of the result.
    gene_symbols
        Column of ``var`` with the names that ``gene_sets`` uses; ``None`` takes
        ``var["gene_symbol"]`` where it exists and the genes' own names otherwise. Genes of one
        name count once, with their mean.
    min_size, max_size
        Sets with fewer or more genes among those of the prototypes are left out, and named in the
        log. Of a set of 200 genes about ten are L1000 landmarks.
    weight
        Exponent of the values in the score: 1 as usual, 0 for ranks only.
    n_perm
        Random sets drawn for each size at first.
    random_state
        Seed.
    n_jobs
        Threads.
    copy
        Return a changed copy and leave ``adata`` alone.

    Returns
    -------
    ``None`` (or the copy). Sets the following field, see :func:`sigilla.get.gene_sets` for a table:

    ``uns[key]['gene_sets']``
        ``names`` of the sets, in the order given; ``n_genes`` in each, ``n_found`` of them among
        those of the prototypes; ``params``; and arrays, classes (in code order) x sets: ``es``
        (enrichment score, -1 to 1), ``nes`` (over the mean of random sets), ``pvalue``, ``qvalue``
        (Benjamini & Hochberg, over all classes and sets), ``leading`` (the genes that make the
        score, joined by ``;``). NaN where a prototype is the same for all genes, or where hardly a
        random set scores on the side of this one; there a larger ``n_perm`` helps.

    Raises
    ------
    ImportError
        GSEApy is not installed.
    KeyError
        Nothing is stored under ``key``, or there is no such column.
    FileError
        There is no GMT file of that name, or it cannot be read.
    DataError
        The method has no codes or no genes; no set at all; no set has enough of them (the message
        names the column of ``var`` that matches better where there is one).
    TypeError, ValueError
        ``gene_sets`` is of another kind; an option outside its bounds.

    References
    ----------
    Subramanian et al. (2005), Gene set enrichment analysis, PNAS 102:15545-15550. Korotkevich et
    al. (2021), Fast gene set enrichment analysis, bioRxiv 060012. Fang, Liu & Peltz (2023), GSEApy,
    Bioinformatics 39:btac757.

    Examples
    --------
    >>> import sigilla as sg
    >>> adata = sg.datasets.simulate_lincs(n_classes=3, n_genes=60, random_state=0)
    >>> sg.tl.svqvae(adata, max_epochs=2)
    >>> top = sg.get.top_genes(adata, n=8).query("`class` == 'F01a' and direction == 'up'")
    >>> sg.tl.gene_sets(adata, {"planted": list(top["gene"])}, n_perm=100)
    >>> found = sg.get.gene_sets(adata).iloc[0]
    >>> found["class"], round(float(found["es"]), 6)
    ('F01a', 1.0)
    """
    require_count("min_size", min_size)
    require_count("max_size", max_size, least=min_size)
    require_count("n_perm", n_perm)
    require_count("n_jobs", n_jobs)
    require_not_negative("weight", weight)
    checked_seed(random_state)
    prerank = _gseapy()
    wanted = _read(gene_sets)
    if not wanted:
        shown = "" if isinstance(gene_sets, pd.DataFrame) else f"={gene_sets!r}"
        raise DataError(
            f'gene_sets{shown} holds no set; give at least one, such as {{"name": [genes]}}'
        )
    prototypes = get.prototypes(adata, key)
    rows = adata.var_names.isin(prototypes.index)
    shown = symbols(adata, gene_symbols)[rows]
    table = prototypes.groupby(shown, sort=False).mean().astype(np.float64)
    sets = _matched(adata, wanted, table.index, min_size, max_size)

    results = [
        _enriched(
            prerank,
            table[name],
            sets,
            weight=weight,
            permutation_num=n_perm,
            seed=random_state,
            threads=n_jobs,
        )
        for name in table
    ]
    pvalue = np.stack([r.pvalue for r in results])
    target = target_of(adata, copy=copy)
    target.uns[key]["gene_sets"] = {
        "names": np.array(list(sets), dtype=object),
        "n_genes": np.array([len(set(wanted[name])) for name in sets]),
        "n_found": np.array([len(genes) for genes in sets.values()]),
        "es": np.stack([r.es for r in results]),
        "nes": np.stack([r.nes for r in results]),
        "pvalue": pvalue,
        "qvalue": false_discovery_rate(pvalue),
        "leading": np.stack([r.leading for r in results]),
        "params": {
            "min_size": min_size,
            "max_size": max_size,
            "weight": weight,
            "n_perm": n_perm,
            "random_state": random_state,
        },
    }
    return target if copy else None


def _gseapy() -> Any:
    try:
        from gseapy import prerank
    except ImportError as error:
        raise ImportError('tl.gene_sets needs GSEApy: pip install "sigilla[enrichment]"') from error
    return prerank


# -- the sets ------------------------------------------------------------------------------------


def _read(given: GeneSets) -> dict[str, list[str]]:
    if isinstance(given, str | Path):
        if not Path(given).expanduser().is_file():
            raise FileError(
                f"gene_sets={str(given)!r} is no file; give the path of a GMT file, or the sets"
                ' themselves as {"name": [genes], ...}'
            )
        return io.read_gmt(given)
    if isinstance(given, pd.DataFrame):
        if given.shape[1] < 2:
            raise ValueError(f"gene_sets has the columns {listed(given.columns)}; two are needed")
        named = {"source", "target"} <= set(given.columns)
        pairs = given[["source", "target"]] if named else given.iloc[:, :2]
        source, target = (pairs.iloc[:, i].astype(str) for i in (0, 1))
        return {name: list(genes) for name, genes in target.groupby(source, sort=False)}
    if isinstance(given, Mapping):
        for name, genes in given.items():
            if isinstance(genes, str):
                raise TypeError(f"gene_sets[{name!r}] is a string where a list of genes should be")
        return {str(name): [str(gene) for gene in genes] for name, genes in given.items()}
    raise TypeError(
        "gene_sets must be a mapping of names to genes, a GMT file or a DataFrame;"
        f" it is {type(given).__name__}"
    )


def _matched(
    adata: AnnData, wanted: Mapping[str, Sequence[str]], genes: pd.Index, least: int, most: int
) -> dict[str, list[str]]:
    """The genes of each set that are there, of the sets that keep enough; the rest is logged."""
    here = set(genes)
    found = {
        name: [g for g in dict.fromkeys(members) if g in here] for name, members in wanted.items()
    }
    most = min(most, len(genes) - 1)  # where a set holds every gene, none is left to compare
    kept = {name: members for name, members in found.items() if least <= len(members) <= most}
    named = {gene for members in wanted.values() for gene in members}
    matched = len(named & here)
    if not kept:
        raise DataError(
            f"no gene set has {least} to {most} of the {len(genes)} genes: {matched} of the"
            f" {len(named)} genes named are there. The data name them like {listed(genes, 3)},"
            f" the sets like {listed(sorted(named)[:3])}{_better(adata, named, matched)}"
        )
    logger.info("%d of the %d genes in gene_sets are among the model's", matched, len(named))
    if len(kept) < len(wanted):
        left = [name for name in wanted if name not in kept]
        logger.warning(
            "%d of %d gene sets do not have %d to %d of the model's genes and are left out: %s",
            len(left),
            len(wanted),
            least,
            most,
            listed(left),
        )
    return kept


def _better(adata: AnnData, named: set[str], matched: int) -> str:
    share = {str(c): len(named & set(adata.var[c].astype(str))) for c in adata.var.columns}
    best = max(share, key=lambda column: share[column], default=None)
    if best is None or share[best] <= matched:
        return ""
    return f"; var[{best!r}] has {share[best]} of them: pass gene_symbols={best!r}"


# -- the scores ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Enriched:
    """Of one class, each per set."""

    es: Floats
    nes: Floats
    pvalue: Floats
    leading: NDArray[np.object_]


def _enriched(
    prerank: Any, values: pd.Series, sets: Mapping[str, Sequence[str]], **options: Any
) -> _Enriched:
    n = len(sets)
    if values.nunique() < 2:
        unknown = np.full(n, np.nan)
        return _Enriched(unknown, unknown, unknown, np.full(n, "", dtype=object))
    # Names of our own: GSEApy gives capitals and separators in names a meaning.
    ordered = values.sort_values(ascending=False, kind="stable")
    # Equal values keep the order of the genes; a last bit apart, GSEApy need not warn of them.
    height = ordered.to_numpy().copy()
    for i in np.flatnonzero(height[1:] >= height[:-1]) + 1:
        height[i:] = np.minimum(height[i:], np.nextafter(height[i - 1], -np.inf))
    code = {gene: f"G{i}" for i, gene in enumerate(ordered.index)}
    found = prerank(
        pd.Series(height, index=[code[g] for g in ordered.index]),
        {f"S{j}": [code[g] for g in genes] for j, genes in enumerate(sets.values())},
        outdir=None,
        no_plot=True,
        ascending=None,
        min_size=1,
        max_size=len(ordered),
        method="multilevel",
        **options,
    ).res2d.set_index("Term")
    found = found.loc[[f"S{j}" for j in range(n)]]
    es, nes, pvalue = (
        found[column].to_numpy(dtype=np.float64) for column in ("ES", "NES", "NOM p-val")
    )
    symbol = ordered.index.to_numpy(dtype=object)
    leading = [
        ";".join(symbol[int(gene[1:])] for gene in str(genes).split(";") if gene)
        for genes in found["Lead_genes"]
    ]
    return _Enriched(es, nes, pvalue, np.array(leading, dtype=object))
