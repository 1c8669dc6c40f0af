"""A LINCS-like release with a known answer: the numbers behind the demo, tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from sigilla.seed import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

CELL_LINES = ("A375", "HA1E", "HELA", "HT29", "MCF7", "PC3", "YAPC")
DOSES = (0.04, 0.12, 0.37, 1.11, 3.33, 10.0)
CLIP = 10.0  # GEO's level-5 values end at +-10

# Families of related classes in the built-in prototypes: pairs and triples, as PCLs have them.
_FAMILY_SIZES = (3, 2, 2, 1)
_N_PROGRAMMES = 40


@dataclass(frozen=True)
class _Design:
    """Which treatment each signature is; ``class_`` is -1 for the vehicle."""

    class_: NDArray[np.intp]
    pert: NDArray[np.intp]
    labelled: NDArray[np.bool_]
    cell: NDArray[np.intp]
    dose: NDArray[np.intp]


def simulate_lincs(
    *,
    n_classes: int = 24,
    class_sizes: Sequence[int] | None = None,
    prototypes: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    var_names: Sequence[str] | None = None,
    n_genes: int = 978,
    n_unlabelled: int = 0,
    n_vehicle: int = 0,
    cell_lines: Sequence[str] = CELL_LINES,
    doses: Sequence[float] = DOSES,
    strength: float = 1.0,
    noise: float = 0.7,
    perturbagen_effect: float = 0.1,
    cell_line_effect: float = 0.1,
    shared_effect: float = 0.4,
    n_shared_factors: int = 30,
    relatedness: float = 0.6,
    random_state: int | np.random.Generator | None = 0,
) -> ad.AnnData:
    r"""Signatures x genes of z-scores like LINCS level 5, with the truth they were made from.

    Signature *i* of class *k*, perturbagen *p*, cell line *c*, dose *d* is

    .. math::
        x_i = s_{pcd} \, (m_k + \delta_p) \odot a_c + b_c + L f_i + \sigma_i \odot \epsilon_i

    clipped to +-10: the class's prototype :math:`m_k` with the perturbagen's own deviation,
    scaled by a strength that rises with dose, seen through a cell line that answers some genes
    more than others and has an offset of its own, over factors shared by all signatures (batch,
    growth, stress) and replicate noise. Weak doses leave little but noise, as in real data.

    Parameters
    ----------
    n_classes
        Perturbagen classes (PCLs), when neither ``class_sizes`` nor ``prototypes`` says.
    class_sizes
        Signatures of each class; by default a long tail from 200 down to 20.
    prototypes
        Classes x genes: mean response of each class. By default invented, in families of
        related classes named ``F01a``, ``F01b``, ...
    classes, var_names
        Names of the classes and genes; numbered names by default.
    n_genes
        Genes, when neither ``prototypes`` nor ``var_names`` says.
    n_unlabelled, n_vehicle
        Further signatures without a class in ``obs["pcl"]``: of perturbagens, of vehicle (DMSO).
    cell_lines, doses
        What the treatments are spread over; doses in uM.
    strength
        Mean strength of response; 1 gives class means equal to the prototypes.
    noise
        Standard deviation of the average gene's noise in a signature of three replicates.
    perturbagen_effect, cell_line_effect
        Size of a perturbagen's own deviation relative to its class's prototype; of cell lines'
        offsets and of their gene-wise modulation of a response.
    shared_effect, n_shared_factors
        Standard deviation that the shared factors add to the average gene, and their number.
    relatedness
        Correlation of the invented prototypes within a family, on average.
    random_state
        Seed of this call.

    Returns
    -------
    AnnData, float32, with ``obs`` columns ``sig_id pert_id pert_iname pert_type cell_id dose time
    pcl`` and ``uns["truth"]``: ``classes``, ``prototypes`` (classes x genes), ``correlation``
    (classes x classes Pearson), and ``class`` (each signature's true class, "" for vehicle).

    Examples
    --------
    >>> adata = simulate_lincs(n_classes=5, n_genes=50, n_vehicle=10)
    >>> adata.obs["pcl"].cat.categories.tolist()
    ['F01a', 'F01b', 'F01c', 'F02a', 'F02b']
    >>> adata.uns["truth"]["correlation"].shape
    (5, 5)
    """
    rng = generator(random_state)
    given = None if prototypes is None else np.asarray(prototypes, dtype=float)
    n_classes, sizes = _class_sizes(n_classes, class_sizes, given)
    if given is None:
        width = n_genes if var_names is None else len(var_names)
        given = _invent_prototypes(n_classes, width, relatedness, rng)
    n_genes = given.shape[1]
    names = _named(classes, [f"F{f + 1:02d}{'abc'[m]}" for f, m in _families(n_classes)], "classes")
    genes = _named(var_names, [f"GENE{i + 1:04d}" for i in range(n_genes)], "var_names")

    design = _lay_out(sizes, n_unlabelled, n_vehicle, len(cell_lines), len(doses), rng)
    response = _responses(design, given, perturbagen_effect, cell_line_effect, rng)
    response *= (strength * _strengths(design, len(doses), rng))[:, None]
    x = response + cell_line_effect * rng.normal(size=(len(cell_lines), n_genes))[design.cell]
    x += shared_effect * _shared_factors(len(x), n_genes, n_shared_factors, rng)
    x += noise * _replicate_noise(len(x), n_genes, rng)

    adata = ad.AnnData(
        np.clip(x, -CLIP, CLIP).astype(np.float32),
        obs=_describe(design, names, cell_lines, doses),
        var=pd.DataFrame(index=pd.Index(genes, name="gene")),
    )
    adata.uns["truth"] = {
        "classes": np.array(names),
        "prototypes": given,
        "correlation": np.corrcoef(given),
        "class": np.array([*names, ""])[design.class_],
    }
    return adata


# -- who is treated with what ------------------------------------------------------------------


def _class_sizes(
    n_classes: int, sizes: Sequence[int] | None, prototypes: Array | None
) -> tuple[int, NDArray[np.intp]]:
    if prototypes is not None:
        if prototypes.ndim != 2:
            raise ValueError(f"prototypes must be classes x genes, not {prototypes.ndim}-d")
        n_classes = len(prototypes)
    elif sizes is not None:
        n_classes = len(sizes)
    if sizes is None:
        return n_classes, np.geomspace(200, 20, n_classes).round().astype(np.intp)
    if len(sizes) != n_classes:
        raise ValueError(f"class_sizes has {len(sizes)} entries for {n_classes} classes")
    return n_classes, np.asarray(sizes, dtype=np.intp)


def _named(given: Sequence[str] | None, default: list[str], argument: str) -> list[str]:
    names = default if given is None else [str(name) for name in given]
    if len(names) != len(default):
        raise ValueError(f"{argument} has {len(names)} entries, {len(default)} are needed")
    if len(set(names)) != len(names):
        raise ValueError(f"{argument} has duplicates; each name may occur once")
    return names


def _families(n_classes: int) -> list[tuple[int, int]]:
    """(family, member) of each class."""
    cycle = np.resize(_FAMILY_SIZES, n_classes)
    return [(f, m) for f, size in enumerate(cycle) for m in range(size)][:n_classes]


def _lay_out(
    sizes: NDArray[np.intp],
    n_unlabelled: int,
    n_vehicle: int,
    n_cells: int,
    n_doses: int,
    rng: np.random.Generator,
) -> _Design:
    """Signatures spread over perturbagens, cell lines and doses; perturbagen 0 is the vehicle."""
    n_classes = len(sizes)
    hidden = rng.choice(n_classes, size=n_unlabelled, p=sizes / sizes.sum())
    class_ = np.concatenate([np.repeat(np.arange(n_classes), sizes), hidden])
    labelled = np.arange(len(class_)) < sizes.sum()
    # About 50 signatures per perturbagen, as each is tried over cell lines and doses; those
    # without a label are other perturbagens than those with one.
    per_class = np.maximum(1, sizes // 50)
    nth = rng.integers(per_class[class_])
    key = np.stack([class_, ~labelled, nth], axis=1)
    pert = np.unique(key, axis=0, return_inverse=True)[1].ravel() + 1
    vehicle = np.zeros(n_vehicle, dtype=np.intp)
    n = len(class_) + n_vehicle
    return _Design(
        class_=np.concatenate([class_, vehicle - 1]),
        pert=np.concatenate([pert, vehicle]),
        labelled=np.concatenate([labelled, vehicle > 0]),
        cell=rng.integers(n_cells, size=n),
        dose=rng.integers(n_doses, size=n),
    )


def _describe(
    design: _Design, classes: list[str], cell_lines: Sequence[str], doses: Sequence[float]
) -> pd.DataFrame:
    vehicle = design.class_ < 0
    numbers = range(1, design.pert.max() + 1)
    pert_id = np.array(["DMSO", *(f"BRD-S{i:08d}" for i in numbers)])
    iname = np.array(["DMSO", *(f"compound-{i}" for i in numbers)])
    cell = np.asarray(cell_lines, dtype=str)[design.cell]
    sig_id = [
        f"SIM{i:06d}_{line}_24H:{pert_id[p]}"
        for i, (line, p) in enumerate(zip(cell, design.pert, strict=True))
    ]
    obs = pd.DataFrame(
        {
            "sig_id": sig_id,
            "pert_id": pert_id[design.pert],
            "pert_iname": iname[design.pert],
            "pert_type": np.where(vehicle, "ctl_vehicle", "trt_cp"),
            "cell_id": cell,
            "dose": np.where(vehicle, np.nan, np.asarray(doses, dtype=float)[design.dose]),
            "time": 24.0,
            "pcl": pd.Categorical.from_codes(
                np.where(design.labelled, design.class_, -1), categories=classes
            ),
        },
        index=pd.Index(sig_id),
    )
    for column in ("pert_id", "pert_iname", "pert_type", "cell_id"):
        obs[column] = obs[column].astype("category")
    return obs


# -- what they answer --------------------------------------------------------------------------


def _invent_prototypes(
    n_classes: int, n_genes: int, relatedness: float, rng: np.random.Generator
) -> Array:
    """Prototypes of a few dozen transcriptional programmes, in families, strong and weak ones.

    The spread of strengths (root mean square .2 to 2 over genes) and the decay of the spectrum
    are those of the published LINCS prototypes.
    """
    family = np.array([f for f, _ in _families(n_classes)])
    weight = np.geomspace(1, 0.1, _N_PROGRAMMES)
    shared = rng.normal(size=(family.max() + 1, _N_PROGRAMMES)) * weight
    own = rng.normal(size=(n_classes, _N_PROGRAMMES)) * weight
    usage = np.sqrt(relatedness) * shared[family] + np.sqrt(1 - relatedness) * own
    programmes = rng.standard_t(4, size=(_N_PROGRAMMES, n_genes))
    profile = usage @ programmes
    size = np.exp(rng.normal(np.log(0.4), 0.5, size=(n_classes, 1)))
    return profile / profile.std(axis=1, keepdims=True) * size


def _responses(
    design: _Design,
    prototypes: Array,
    perturbagen_effect: float,
    cell_line_effect: float,
    rng: np.random.Generator,
) -> Array:
    """(prototype + perturbagen's deviation) x the cell line's gene-wise answer; 0 for vehicle."""
    n_perts = design.pert.max() + 1
    class_of = np.full(n_perts, -1)
    class_of[design.pert] = design.class_
    profiles = np.vstack([prototypes, np.zeros_like(prototypes[:1])])[class_of]
    size = perturbagen_effect * profiles.std(axis=1, keepdims=True)
    # A perturbagen's side effects are other programmes that cells have: mixtures of prototypes.
    mixture = rng.normal(size=(n_perts, len(prototypes))) @ prototypes
    profiles += size * mixture / mixture.std(axis=1, keepdims=True)
    n_cells = design.cell.max() + 1
    answer = 1 + cell_line_effect * rng.normal(size=(n_cells, prototypes.shape[1]))
    return profiles[design.pert] * answer[design.cell]


def _strengths(design: _Design, n_doses: int, rng: np.random.Generator) -> Array:
    """A Hill curve over the dose steps, each perturbagen with its own potency; mean about 1."""
    half = rng.normal(0.3, 0.1, size=design.pert.max() + 1) * (n_doses - 1)
    curve = 1 / (1 + np.exp(1.2 * (half[design.pert] - design.dose)))
    return 1.5 * curve * np.exp(rng.normal(-0.03, 0.25, size=len(curve)))


def _shared_factors(n: int, n_genes: int, n_factors: int, rng: np.random.Generator) -> Array:
    """Low-rank variation of unit variance in the average gene, the first factor the strongest."""
    loadings = rng.normal(size=(n_factors, n_genes)) * np.geomspace(1, 0.2, n_factors)[:, None]
    loadings /= np.sqrt(np.square(loadings).sum(axis=0).mean())
    return rng.normal(size=(n, n_factors)) @ loadings


def _replicate_noise(n: int, n_genes: int, rng: np.random.Generator) -> Array:
    """Gaussian; some genes are noisier, and signatures of fewer replicates are."""
    per_gene = np.exp(rng.normal(-0.03, 0.25, size=n_genes))
    per_signature = np.sqrt(3 / rng.integers(2, 5, size=(n, 1)))
    return per_gene * per_signature * rng.normal(size=(n, n_genes))
