"""Gaussian VAE (Kingma & Welling 2013, arXiv:1312.6114)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from sigilla.models import _base
from sigilla.models._config import Config, param
from sigilla.nn import Standardise, gaussian_nll, kl_standard_normal, mlp

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class VAEConfig(Config):
    """Hyper-parameters of :class:`VAE`."""

    n_latent: int = param(32, "Dimensions of the latent.", at_least=1)
    n_hidden: int = param(256, "Units of the hidden layer on either side.", at_least=1)
    beta: float = param(
        1.0,
        "Weight of the KL term. Losses are summed over genes and latent dimensions, so 1 is the "
        "evidence lower bound; averaging both, as some published code does, hides a beta of "
        "genes / (2 latent dimensions).",
        at_least=0,
    )
    warmup_epochs: int = param(
        10, "Epochs over which beta grows linearly from 0 to its value.", at_least=0
    )
    max_epochs: int = param(200, "Passes over the training observations, at most.", at_least=0)


class VAE(_base.Model):
    """Encoder to a Gaussian posterior, decoder to a Gaussian with one learned variance per gene.

    The data are standardised inside the model; the latent that is stored is the posterior mean.
    """

    name = "vae"
    title = "VAE"
    paper = "Kingma & Welling 2013, arXiv:1312.6114"
    Config: ClassVar[type[Config]] = VAEConfig
    config: VAEConfig
    epoch: Tensor

    def build(self, n_features: int, n_classes: int) -> None:
        del n_classes
        c = self.config
        self.standardise = Standardise(n_features)
        self.encoder = mlp([n_features, c.n_hidden, 2 * c.n_latent])
        self.decoder = mlp([c.n_latent, c.n_hidden, n_features])
        self.log_var = nn.Parameter(torch.zeros(n_features))
        self.register_buffer("epoch", torch.zeros(()))

    def prepare(self, x: Tensor, label: Tensor) -> None:
        del label
        self.standardise.fit(x)

    def start_epoch(self, epoch: int) -> None:
        self.epoch.fill_(epoch)

    def loss(self, batch: _base.Batch, *, phase: str) -> _base.Loss:
        del phase
        x = self.standardise(batch.x)
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        z = mean
        if self.training:
            z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        # The bound keeps a gene that is fitted exactly from pulling the likelihood to infinity.
        gene_log_var = self.log_var.clamp(-8, 8)
        warmup = (self.epoch + 1) / (self.config.warmup_epochs + 1)
        beta = self.config.beta * (warmup.clamp(max=1) if self.training else 1.0)
        return _base.Loss(
            {
                "reconstruction": gaussian_nll(x, self.decoder(z), gene_log_var).mean(),
                "kl": beta * kl_standard_normal(mean, log_var).mean(),
            }
        )

    @torch.no_grad()
    def embed(self, x: Tensor) -> _base.Embedding:
        mean, _ = self.encoder(self.standardise(x)).chunk(2, dim=1)
        return _base.Embedding(latent=mean)

    def decode(self, latent: Tensor) -> Tensor:
        return self.standardise.inverse(self.decoder(latent))
