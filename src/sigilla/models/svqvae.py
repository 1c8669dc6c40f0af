"""S-VQ-VAE (Xue, Ding & Lu 2019, arXiv:1909.11124; 2020, npj Syst Biol Appl 6:35)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.models import _base
from sigilla.models._config import Config, param
from sigilla.nn import LinearPlus, Scale, Standardise, squared_distances, straight_through

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

# The published decoder ends in tanh x 10: GEO's level-5 values are clipped to +-10.
_PUBLISHED_RANGE = 10.0


@dataclass(frozen=True, kw_only=True)
class SVQVAEConfig(Config):
    """Hyper-parameters of :class:`SVQVAE`."""

    n_latent: int = param(128, "Dimensions of the latent and of every code.", at_least=1)
    n_hidden: int = param(256, "Units of the encoder's hidden layer.", at_least=1)
    commitment_cost: float = param(
        0.25, "Weight of the pull of the latent towards the label's code.", at_least=0
    )
    divergence_cost: float = param(
        0.1, "Weight of the push of the latent away from a wrong nearest code.", at_least=0
    )
    dropout: float = param(0.2, "Dropout in the encoder's network.", at_least=0, below=1)
    objective: Literal["sigilla", "xue2020"] = param(
        "sigilla",
        "'xue2020' is the published objective and architecture; published with it were "
        "n_latent=1000, learning_rate=1e-4, max_epochs=900, validation_fraction=0.",
    )
    max_epochs: int = param(60, "Passes over the training observations, at most.", at_least=0)
    patience: int = param(
        8, "Epochs without a better held-out accuracy before stopping.", at_least=1
    )


class SVQVAE(_base.Model):
    """One code per class: the label's code is decoded, the nearest code classifies.

    The encoder starts at the whitening by the pooled within-class covariance (Ledoit & Wolf
    2004), the codes at class means of low rank in that space.
    """

    name = "svqvae"
    title = "S-VQ-VAE"
    paper = (
        "Xue, Ding & Lu 2019, arXiv:1909.11124; Xue, Ding & Lu 2020, npj Syst Biol Appl 6:35, "
        "doi 10.1038/s41540-020-00158-2"
    )
    Config: ClassVar[type[Config]] = SVQVAEConfig
    config: SVQVAEConfig
    uses_labels = True
    has_codes = True
    monitor = ("accuracy", "max")
    standardise: Standardise

    def build(self, n_features: int, n_classes: int) -> None:
        c = self.config
        self.codes = nn.Parameter(torch.empty(n_classes, c.n_latent))
        nn.init.uniform_(self.codes, -1 / n_classes, 1 / n_classes)
        self.encoder: nn.Module
        self.decoder: nn.Module
        if c.objective == "xue2020":
            self.encoder = nn.Sequential(nn.Linear(n_features, c.n_latent), nn.Tanh())
            self.decoder = nn.Sequential(
                nn.Linear(c.n_latent, n_features), nn.Tanh(), Scale(_PUBLISHED_RANGE)
            )
            return
        self.standardise = Standardise(n_features)
        self.encoder = LinearPlus(n_features, c.n_hidden, c.n_latent, dropout=c.dropout)
        self.decoder = nn.Linear(c.n_latent, n_features)

    def phases(self) -> tuple[_base.Phase, ...]:
        published = self.config.objective == "xue2020"
        return (_base.Phase("main", list(self.parameters()), amsgrad=published),)

    @torch.no_grad()
    def prepare(self, x: Tensor, label: Tensor) -> None:
        if not isinstance(self.encoder, LinearPlus) or not isinstance(self.decoder, nn.Linear):
            return
        self.standardise.fit(x)
        known = label >= 0
        x, label = self.standardise(x[known]), label[known]
        k, p = len(self.codes), x.shape[1]
        count = torch.bincount(label, minlength=k).to(x.dtype)
        mean = torch.zeros(k, p, device=x.device).index_add_(0, label, x)
        mean /= count.clamp_min(1)[:, None]
        whitening = _whitening(x - mean[label], max(len(x) - k, 1))
        weight = count.sqrt()[:, None]
        u, s, vt = torch.linalg.svd(weight * (mean @ whitening), full_matrices=False)
        s = torch.where(s > 1 + (k / p) ** 0.5, s, 0)
        low_rank = (u * s) @ vt / weight.clamp_min(1)
        d = self.config.n_latent
        axes = torch.linalg.qr(torch.cat([vt.T, whitening], dim=1)[:, : max(d, len(s))])[0][:, :d]
        self.encoder.start((whitening @ axes).T)
        codes = low_rank @ axes
        self.codes.zero_()[:, : codes.shape[1]] = codes
        fitted = torch.linalg.lstsq(
            torch.cat([self.codes, torch.ones(k, 1, device=x.device)], dim=1), mean
        ).solution
        self.decoder.weight.copy_(fitted[:-1].T)
        self.decoder.bias.copy_(fitted[-1])

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.config.objective == "xue2020" else self.standardise(x)

    def loss(self, batch: _base.Batch, *, phase: str) -> _base.Loss:
        del phase
        c = self.config
        x, label = self._scaled(batch.x), batch.label
        z = self.encoder(x)
        distances = squared_distances(z, self.codes)
        nearest = distances.argmin(dim=1)
        labelled = (label >= 0).to(x.dtype)[:, None]
        # An observation without a label is decoded from its nearest code, as in a VQ-VAE.
        target = torch.where(label >= 0, label, nearest)
        own, wrong = self.codes[target], self.codes[nearest]
        mismatch = labelled * (nearest != target).to(x.dtype)[:, None]
        terms = {
            "reconstruction": (x - self.decoder(straight_through(z, own))).square().mean(),
            "codebook": (z.detach() - own).square().mean(),
            "commitment": c.commitment_cost * (z - own.detach()).square().mean(),
        }
        if c.objective == "xue2020":
            away = (z.detach() - wrong).square()
            away = away + c.divergence_cost * (z - wrong.detach()).square()
            terms["divergence"] = -(mismatch * away).mean()
        else:
            entropy = F.cross_entropy(-0.5 * distances, target, reduction="none")
            terms["cross_entropy"] = (labelled[:, 0] * entropy).mean()
        right = (labelled[:, 0] * (nearest == target)).sum() / labelled.sum().clamp_min(1)
        return _base.Loss(terms, {"accuracy": right})

    @torch.no_grad()
    def embed(self, x: Tensor) -> _base.Embedding:
        z = self.encoder(self._scaled(x))
        distances = squared_distances(z, self.codes)
        nearest = distances.argmin(dim=1)
        confidence = (-0.5 * distances).softmax(dim=1).amax(dim=1)
        return _base.Embedding(z, distances, nearest, self.codes[nearest], confidence)

    def codebook(self) -> Tensor:
        return self.codes

    def decode(self, latent: Tensor) -> Tensor:
        genes: Tensor = self.decoder(latent)
        return genes if self.config.objective == "xue2020" else self.standardise.inverse(genes)

    @classmethod
    def from_xue2020(
        cls,
        encode: str | Path,
        embedding: str | Path,
        decode: str | Path,
        *,
        var_names: Sequence[str],
        classes: Sequence[str],
    ) -> Self:
        """The published code book, from the authors' three files; nothing in them is executed."""
        from sigilla.models._legacy import read_legacy_tensors

        parts = [read_legacy_tensors(p) for p in (encode, embedding, decode)]
        w_in, b_in = parts[0].values()
        (codes,) = parts[1].values()
        w_out, b_out = parts[2].values()
        config = SVQVAEConfig(
            objective="xue2020",
            n_latent=codes.shape[1],
            learning_rate=1e-4,
            max_epochs=900,
            validation_fraction=0,
        )
        model = cls(config, n_features=w_in.shape[1], classes=classes, var_names=var_names)
        model.load_state_dict(
            {
                "codes": codes,
                "encoder.0.weight": w_in,
                "encoder.0.bias": b_in,
                "decoder.0.weight": w_out,
                "decoder.0.bias": b_out,
            }
        )
        return model.eval()


def _whitening(residual: Tensor, freedom: int) -> Tensor:
    """Inverse square root of the Ledoit-Wolf covariance of centred residuals."""
    n, p = residual.shape
    sample = residual.T @ residual / n
    mean = sample.trace() / p
    spread = (sample - mean * torch.eye(p, device=sample.device)).square().sum() / p
    noise = (residual.square().T @ residual.square()).sum() / n - sample.square().sum()
    share = (noise / n / p).clamp_max(spread) / spread
    value, vector = torch.linalg.eigh(sample * (n / freedom))
    value = (1 - share) * value.clamp_min(0) + share * mean * (n / freedom)
    return (vector / value.clamp_min(1e-8).sqrt()) @ vector.T
