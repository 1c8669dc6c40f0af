"""VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from sigilla.models import _base
from sigilla.models._config import Config, param
from sigilla.nn import Standardise, mlp, squared_distances, straight_through

if TYPE_CHECKING:
    from torch import Tensor

# K-means on more rows than this does not place the codes better, only later.
_START_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class VQVAEConfig(Config):
    """Hyper-parameters of :class:`VQVAE`."""

    n_codes: int = param(32, "Codes in the code book.", at_least=1)
    n_latent: int = param(32, "Dimensions of the latent and of every code.", at_least=1)
    n_hidden: int = param(256, "Units of the hidden layer on either side.", at_least=1)
    commitment_cost: float = param(
        0.25, "Weight of the pull of the latent towards its code.", at_least=0
    )
    max_epochs: int = param(200, "Passes over the training observations, at most.", at_least=0)


class VQVAE(_base.Model):
    """Every observation is decoded from the code nearest to its latent; labels play no part.

    Codes start at the k-means centres of the untrained encoder's output, so that none is dead
    from the start.
    """

    name = "vqvae"
    title = "VQ-VAE"
    paper = "van den Oord et al. 2017, arXiv:1711.00937"
    has_codes = True
    Config: ClassVar[type[Config]] = VQVAEConfig
    config: VQVAEConfig

    def build(self, n_features: int, n_classes: int) -> None:
        del n_classes
        c = self.config
        self.standardise = Standardise(n_features)
        self.encoder = mlp([n_features, c.n_hidden, c.n_latent])
        self.decoder = mlp([c.n_latent, c.n_hidden, n_features])
        self.codes = nn.Parameter(torch.randn(c.n_codes, c.n_latent))
        self.classes = tuple(str(k) for k in range(c.n_codes))

    @torch.no_grad()
    def prepare(self, x: Tensor, label: Tensor) -> None:
        from sklearn.cluster import KMeans

        del label
        self.standardise.fit(x)
        if len(x) < self.config.n_codes:
            raise ValueError(
                f"n_codes={self.config.n_codes} for {len(x)} training observations; "
                "take at most one code per observation"
            )
        some = torch.randperm(len(x), device=x.device)[:_START_ROWS]
        z = self.encoder(self.standardise(x[some])).cpu().numpy()
        centres = KMeans(len(self.codes), n_init=1, random_state=0).fit(z).cluster_centers_
        self.codes.copy_(torch.from_numpy(centres))

    def loss(self, batch: _base.Batch, *, phase: str) -> _base.Loss:
        del phase
        x = self.standardise(batch.x)
        z = self.encoder(x)
        nearest = squared_distances(z, self.codes).argmin(dim=1)
        code = self.codes[nearest]
        used = torch.zeros(len(self.codes), device=x.device).index_add_(
            0, nearest, torch.full_like(nearest, 1, dtype=x.dtype) / len(nearest)
        )
        return _base.Loss(
            {
                "reconstruction": (x - self.decoder(straight_through(z, code))).square().mean(),
                "codebook": (z.detach() - code).square().mean(),
                "commitment": self.config.commitment_cost * (z - code.detach()).square().mean(),
            },
            {"perplexity": (-torch.special.xlogy(used, used).sum()).exp()},
        )

    @torch.no_grad()
    def embed(self, x: Tensor) -> _base.Embedding:
        z = self.encoder(self.standardise(x))
        distances = squared_distances(z, self.codes)
        nearest = distances.argmin(dim=1)
        return _base.Embedding(z, distances, nearest, self.codes[nearest])

    def codebook(self) -> Tensor:
        return self.codes

    def decode(self, latent: Tensor) -> Tensor:
        return self.standardise.inverse(self.decoder(latent))
