"""Gaussian VAE (Kingma & Welling 2013, arXiv:1312.6114), started at probabilistic PCA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.models import _base
from sigilla.models._config import Config, param
from sigilla.nn import (
    Linear,
    LinearPlus,
    Standardise,
    gaussian_nll,
    kl_standard_normal,
    principal_axes,
    row_blocks,
)

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
    noise: Literal["gene", "shared"] = param(
        "gene",
        "Variance of the likelihood, learned: one per gene, as in factor analysis, or one for "
        "all, as in principal components.",
    )
    scale: bool = param(
        True,
        "Divide each gene by its standard deviation; if not, all genes by a common one.",
    )
    recipe: Literal["sigilla", "chen2023"] = param(
        "sigilla",
        "'chen2023' is the network and objective that were published with IF-VAE (Chen, Jin & Ke "
        "2023), for comparison, faults included: cross-entropy on values outside 0..1, which has "
        "no lower bound, a rectified log-variance, so that no posterior is narrower than the "
        "prior, and a weight of the KL term that runs 0, 1, 2, 2, ... Its n_latent is 25, its "
        "learning_rate 5e-4, its batch_size 50, its max_epochs 100; n_hidden, beta and noise play "
        "no part.",
    )
    max_epochs: int = param(200, "Passes over the training observations, at most.", at_least=0)


class VAE(_base.Model):
    """Encoder to a Gaussian posterior, decoder to a Gaussian of learned variance.

    The data are standardised inside the model, and the latent that is stored is the posterior
    mean. Encoder and decoder are a linear map plus a small network whose last layer starts at
    zero; the linear maps start at probabilistic PCA (Tipping & Bishop 1999), the optimum of a
    linear VAE. So no latent dimension is born collapsed, a few dozen observations are enough, and
    training can only add what is not linear.
    """

    name = "vae"
    title = "VAE"
    paper = "Kingma & Welling 2013, arXiv:1312.6114"
    Config: ClassVar[type[Config]] = VAEConfig
    config: VAEConfig
    beta: Tensor
    encoder: LinearPlus | _RectifiedHeads
    decoder: LinearPlus | nn.Linear

    def build(self, n_features: int, n_classes: int) -> None:
        del n_classes
        c = self.config
        self.standardise = Standardise(n_features)
        self.register_buffer("beta", torch.tensor(c.beta))
        if c.recipe == "chen2023":
            self.encoder = _RectifiedHeads(n_features, c.n_latent)
            self.decoder = Linear(c.n_latent, n_features)
            return
        self.encoder = LinearPlus(n_features, c.n_hidden, 2 * c.n_latent)
        self.decoder = LinearPlus(c.n_latent, c.n_hidden, n_features)
        self.log_var = nn.Parameter(torch.zeros(n_features if c.noise == "gene" else 1))

    @torch.no_grad()
    def prepare(self, x: Tensor, label: Tensor) -> None:
        del label
        self.standardise.fit(x, each=self.config.scale)
        if isinstance(self.encoder, LinearPlus) and isinstance(self.decoder, LinearPlus):
            self.start_at_pca(self.standardise.in_place(x), self.encoder, self.decoder)

    def start_at_pca(self, x: Tensor, encoder: LinearPlus, decoder: LinearPlus) -> None:
        """Probabilistic PCA of standardised observations, in closed form."""
        axes, variance = principal_axes(x, self.config.n_latent)
        n_axes = len(variance)
        # What the axes leave, spread evenly over the other directions; never quite nothing.
        total = sum(block.square().sum() for block in row_blocks(x)) / len(x)
        noise = (total - variance.sum()) / max(x.shape[1] - n_axes, 1)
        noise = noise.clamp_min(1e-4 * total / x.shape[1])
        variance = variance.clamp_min(noise)
        loadings = axes * (variance - noise).clamp_min(1e-6).sqrt()
        log_var = torch.zeros(2 * self.config.n_latent, device=x.device)
        log_var[self.config.n_latent :][:n_axes] = (noise / variance).log()
        encoder.start((loadings / variance).T, log_var)
        decoder.start(loadings)
        left = torch.zeros(x.shape[1], device=x.device)
        for block in row_blocks(x):
            left += (block - block @ (loadings / variance) @ loadings.T).square().sum(dim=0)
        left /= len(x)
        left = left if self.config.noise == "gene" else left.mean(dim=0, keepdim=True)
        self.log_var.copy_(left.clamp_min(noise / 10).log())

    def start_epoch(self, epoch: int) -> None:
        if self.config.recipe == "chen2023":
            self.beta.fill_(min(epoch, 2))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent of standardised observations."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def loss(self, batch: _base.Batch, *, phase: str) -> _base.Loss:
        del phase
        x = self.standardise(batch.x)
        mean, log_var = self.posterior(x)
        z = mean
        if self.training:
            z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        out = self.decoder(z)
        if self.config.recipe == "chen2023":
            nll = F.binary_cross_entropy_with_logits(out, x, reduction="none").sum(dim=1)
        else:
            # The bound keeps a gene fitted exactly from pulling the likelihood to infinity.
            nll = gaussian_nll(x, out, self.log_var.clamp_min(-8))
        kl = self.beta * kl_standard_normal(mean, log_var)
        return _base.Loss({"reconstruction": nll.mean(), "kl": kl.mean()})

    @torch.no_grad()
    def embed(self, x: Tensor) -> _base.Embedding:
        return _base.Embedding(latent=self.posterior(self.standardise(x))[0])

    def decode(self, latent: Tensor) -> Tensor:
        out = self.decoder(latent)
        if self.config.recipe == "chen2023":
            out = out.sigmoid()
        return self.standardise.inverse(out)


class _RectifiedHeads(nn.Module):
    """Dense, batch norm, ReLU, for the mean and for the log-variance, as published."""

    def __init__(self, n_features: int, n_latent: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(Linear(n_features, n_latent), nn.BatchNorm1d(n_latent), nn.ReLU())
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(x) for head in self.heads], dim=1)
