"""VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.models import _base
from sigilla.models._config import Config, param
from sigilla.nn import LinearPlus, Standardise, principal_axes, squared_distances, straight_through

if TYPE_CHECKING:
    from torch import Tensor

# K-means on more rows than this does not place the codes better, only later.
_START_ROWS = 20_000
_START_TRIES = 4


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

    Encoder and decoder are a linear map, started at the principal axes, plus a small network
    whose last layer starts at zero; the codes start at the k-means centres in that space. So no
    code is dead from the start, and training refines k-means on principal components.
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
        self.encoder = LinearPlus(n_features, c.n_hidden, c.n_latent)
        self.decoder = LinearPlus(c.n_latent, c.n_hidden, n_features)
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
        x = self.standardise.in_place(x)
        axes, _ = principal_axes(x, self.config.n_latent)
        self.encoder.start(axes.T)
        self.decoder.start(axes)
        some = torch.randperm(len(x), device=x.device)[:_START_ROWS]
        z = self.encoder(x[some]).cpu().numpy()
        k_means = KMeans(len(self.codes), n_init=_START_TRIES, random_state=0).fit(z)
        self.codes.copy_(torch.from_numpy(k_means.cluster_centers_))

    def loss(self, batch: _base.Batch, *, phase: str) -> _base.Loss:
        del phase
        x = self.standardise(batch.x)
        z = self.encoder(x)
        nearest = squared_distances(z, self.codes).argmin(dim=1)
        code = F.embedding(nearest, self.codes)
        used = torch.zeros(len(self.codes), device=x.device).index_add_(
            0, nearest, torch.full_like(nearest, 1, dtype=x.dtype) / len(nearest)
        )
        return _base.Loss(
            {
                "reconstruction": F.mse_loss(self.decoder(straight_through(z, code)), x),
                "codebook": F.mse_loss(code, z.detach()),
                "commitment": self.config.commitment_cost * F.mse_loss(z, code.detach()),
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
