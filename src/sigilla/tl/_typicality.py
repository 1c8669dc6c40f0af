"""How typical a signature is of the class it is nearest to, and what is rare among known ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sigilla.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sigilla.models import Model

    Floats = NDArray[np.floating]
    Indices = NDArray[np.intp]

# Rows compared at a time: small beside the data.
_BLOCK_ROWS = 16_384
_THIRDS = (1 / 3, 2 / 3)
# Known signatures that a group needs, so that its p-values go down to 1 / 51. It does not depend on
# the rate that is asked for: a lower rate must never mark a signature that a higher one does not.
ENOUGH = 50


@dataclass(frozen=True, slots=True)
class Typicality:
    """Of each signature: its nearest code, how unlike it is, and how strong it is.

    ``distance`` is 1 - Pearson between the signature and its nearest code's prototype, over the
    genes. Distances in the latent tell no more and cannot be compared from one fit to another:
    each fit has its own scale.
    """

    nearest: Indices
    distance: Floats
    strength: Floats  # root mean square over genes


@torch.no_grad()
def typicality(
    model: Model, x: NDArray[np.float32], genes: NDArray[np.bool_] | None = None
) -> Typicality:
    """Compare signatures (n x genes of the model) with prototypes, over some of the genes."""
    prototypes = model.prototypes()
    if prototypes is None:
        raise DataError(f"{model.title} has no codes that a signature could be near to")
    used = torch.ones(x.shape[1], dtype=torch.bool) if genes is None else torch.as_tensor(genes)
    device = prototypes.device
    unit = _standard(prototypes[:, used.to(device)])
    parts = []
    for rows in torch.from_numpy(x).split(_BLOCK_ROWS):
        nearest = model.embed(rows.to(device)).nearest
        mine = rows[:, used].to(device)
        r = (_standard(mine) * unit[nearest]).sum(dim=1)
        parts.append((nearest, 1 - r, mine.square().mean(dim=1).sqrt()))
    nearest, distance, strength = (torch.cat(p).cpu().numpy() for p in zip(*parts, strict=True))
    return Typicality(nearest.astype(np.intp), distance, strength)


def _standard(x: torch.Tensor) -> torch.Tensor:
    """Rows of mean 0 and length 1; a constant row is 0 and correlates with nothing."""
    centred = x - x.mean(dim=1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-12)


def conformal_pvalues(
    known: Typicality, asked: Typicality, *, within: str | None, least: int = ENOUGH
) -> NDArray[np.float64]:
    """Share of known signatures that are at least as unlike their nearest code as each one asked.

    The signature itself counts among the known ones, so that a known signature has a p-value of
    a or less with a probability of at most a (Vovk, Gammerman & Shafer 2005). Signatures are
    compared within groups that are formed alike for known and asked ones; ``least`` is the size
    that a group must have.
    """
    of_known, of_asked = _groups(known, asked, within, least)
    p = np.empty(len(of_asked))
    for group in np.unique(of_asked):
        peers = np.sort(known.distance[of_known == group])
        mine = of_asked == group
        above = len(peers) - np.searchsorted(peers, asked.distance[mine], side="left")
        p[mine] = (1 + above) / (len(peers) + 1)
    return p


def _groups(
    known: Typicality, asked: Typicality, within: str | None, least: int
) -> tuple[Indices, Indices]:
    if within == "class":
        n_classes = 1 + max(known.nearest.max(initial=0), asked.nearest.max(initial=0))
        size = np.bincount(known.nearest, minlength=n_classes)
        small = size < least
        # Small classes share a group; if even that is too small, so do the next larger ones.
        by_size = np.argsort(size, kind="stable")
        together = np.cumsum(size[by_size])
        n_small = max(small.sum(), 1 + np.searchsorted(together, least)) if small.any() else 0
        group = np.arange(n_classes)
        group[by_size[:n_small]] = n_classes
        return group[known.nearest], group[asked.nearest]
    if within == "strength" and len(known.strength) >= 3 * least:
        edges = np.quantile(known.strength, _THIRDS)
        return np.digitize(known.strength, edges), np.digitize(asked.strength, edges)
    return np.zeros(len(known.nearest), dtype=int), np.zeros(len(asked.nearest), dtype=int)
