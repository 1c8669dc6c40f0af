"""S-VQ-VAE (Xue, Ding & Lu 2019, arXiv:1909.11124; 2020, npj Syst Biol Appl 6:35)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch code

from sigilla.models import _base
from sigilla.models._config import Config, param
from sigilla.models._discriminant import class_means, discriminant, residuals, without_noise
from sigilla.nn import (
    Linear,
    LinearPlus,
    Pull,
    Scale,
    Standardise,
    Tanh,
    pulled,
    squared_distances,
    squared_error,
    straight_through_error,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

# The published decoder ends in tanh x 10: GEO's level-5 values are clipped to +-10.
_PUBLISHED_RANGE = 10.0
# Codes and decoder start at their optimum: a full Adam step would only add its noise to them.
_SLOWER = 0.1


@dataclass(frozen=True, kw_only=True)
class SVQVAEConfig(Config):
    """Hyper-parameters of :class:`SVQVAE`."""

    n_latent: int = param(128, "Dimensions of the latent and of every code.", at_least=1)
    n_hidden: int = param(256, "Units of the encoder's hidden layer.", at_least=1)
    commitment_cost: float = param(
        0.25, "Weight of the pull of the latent towards the label's code.", at_least=0
    )
    divergence_cost: float = param(
        0.1,
        "Weight of the push of the latent away from a wrong nearest code, in the published "
        "objective; the default one has a cross-entropy in its place.",
        at_least=0,
    )
    dropout: float = param(0.2, "Dropout in the encoder's network.", at_least=0, below=1)
    objective: Literal["sigilla", "xue2020"] = param(
        "sigilla",
        "'xue2020' is the published objective and architecture; published with it were "
        "n_latent=1000, learning_rate=1e-4, batch_size=256, max_epochs=900.",
    )
    max_epochs: int = param(30, "Passes over the training observations, at most.", at_least=0)
    batch_size: int = param(64, "Observations per step.", at_least=1)
    learning_rate: float = param(5e-4, "Adam's step size.", above=0)
    patience: int = param(
        5, "Epochs without a better held-out cross-entropy before stopping.", at_least=1
    )

    @classmethod
    def published(cls, **changes: Any) -> Self:
        """The settings of the LINCS paper, but for ``changes``."""
        settings: dict[str, Any] = {
            "objective": "xue2020",
            "n_latent": 1000,
            "learning_rate": 1e-4,
            "batch_size": 256,
            "max_epochs": 900,
            "validation_fraction": 0.0,
        }
        return cls(**(settings | changes))


class SVQVAE(_base.Model):
    """One code per class: the label's code is decoded, the nearest code classifies.

    By default the encoder is a linear discriminant plus a network that starts at zero, each code
    starts at its class's mean in the latent, and the decoder at the class means
    without the share that is noise. Training then lowers

    * ``reconstruction``: the label's code is decoded to the observation; moves the decoder;
    * ``codebook`` and ``commitment``: code and latent are pulled together, as published;
    * ``cross_entropy`` of the label under a softmax of the negative squared distances to the
      codes: what the published push-away is for, with a floor and a probability.

    An observation without a label is only committed to its nearest code.
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
    # Not the accuracy: on few held-out observations it moves in steps and by luck.
    monitor = ("cross_entropy", "min")
    standardise: Standardise
    scale: Tensor  # of the latent: makes squared distances negative log-probabilities
    basis: Tensor  # K x genes: what class means are made of, zero beyond their rank

    def build(self, n_features: int, n_classes: int) -> None:
        c = self.config
        self.codes = nn.Parameter(torch.empty(n_classes, c.n_latent))
        nn.init.uniform_(self.codes, -1 / n_classes, 1 / n_classes)
        self.encoder: nn.Module
        self.decoder: nn.Module
        if self.is_published:
            self.encoder = nn.Sequential(Linear(n_features, c.n_latent), Tanh())
            self.decoder = nn.Sequential(
                Linear(c.n_latent, n_features), Tanh(), Scale(_PUBLISHED_RANGE)
            )
            return
        self.standardise = Standardise(n_features)
        self.encoder = LinearPlus(n_features, c.n_hidden, c.n_latent, dropout=c.dropout)
        self.decoder = Linear(c.n_latent, n_classes)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("basis", torch.zeros(n_classes, n_features))

    @property
    def is_published(self) -> bool:
        """Whether objective and architecture are the published ones."""
        return self.config.objective == "xue2020"

    def phases(self) -> tuple[_base.Phase, ...]:
        if self.is_published:
            return (_base.Phase("main", list(self.parameters()), amsgrad=True),)
        slow = [self.codes, *self.decoder.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": list(self.encoder.parameters())},
            {"params": slow, "lr": _SLOWER * self.config.learning_rate},
        ]
        return (_base.Phase("main", groups),)

    # -- start ----------------------------------------------------------------------------------
    @torch.no_grad()
    def prepare(self, x: Tensor, label: Tensor) -> None:
        if not isinstance(self.encoder, LinearPlus):
            return
        self.standardise.fit(x)
        labelled = label >= 0
        if not labelled.all():
            x, label = x[labelled], label[labelled]
        x = self.standardise.in_place(x)
        start = discriminant(x, label, len(self.codes), self.config.n_latent)
        self.encoder.start(start.projection)
        self.scale.fill_(start.precision**0.5)
        self.codes.zero_()[:, : start.means.shape[1]] = self.scale * start.means
        self._start_decoder(x, label)

    def _start_decoder(self, x: Tensor, label: Tensor) -> None:
        """Least squares from the codes to class means freed of noise, weighted by class size.

        The means of small classes are mostly noise; what all classes share is estimated from
        all of them. It is taken about the origin of the data, not their mean: a z-score of zero
        means "no response", while the mean is that of whatever class is largest.
        """
        n_classes = len(self.codes)
        mean, count = class_means(x, label, n_classes)
        freedom = (count.sum() - (count > 0).sum()).clamp_min(1)
        energy = sum(residual.square().sum() for residual in residuals(x, mean, label))
        noise = (energy / freedom / x.shape[1]).sqrt()
        weight = count.sqrt()[:, None]
        weighted = weight * (mean - self._origin())
        u, singular, axes = torch.linalg.svd(weighted, full_matrices=False)
        clean = without_noise(singular, noise, x.shape[1])
        clean[0] = clean[0].clamp_min(1e-3 * singular[0])
        self.basis.zero_()[: len(axes)] = axes * (clean > 0)[:, None]
        usage = u * clean / weight.clamp_min(1)
        ones = torch.ones(n_classes, 1, device=x.device)
        fitted = torch.linalg.pinv(torch.cat([self.codes, ones], dim=1)) @ usage
        weights, bias = self.decoder.parameters()
        weights.zero_()[: len(axes)] = fitted[:-1].T
        bias.zero_()[: len(axes)] = fitted[-1]

    def _origin(self) -> Tensor:
        """Where the data's zero lies after standardisation."""
        return -self.standardise.mean / self.standardise.sd

    # -- objective ------------------------------------------------------------------------------
    def loss(self, batch: _base.Batch, *, phase: str) -> _base.Loss:
        del phase
        label = batch.label
        x = batch.x if self.is_published else self.standardise(batch.x)
        z = self._latent(x)
        distances = squared_distances(z, self.codes)
        seen = distances.detach()
        least, nearest = seen.min(dim=1)
        labelled = label >= 0
        share = labelled / labelled.sum().clamp_min(1)  # of each in a mean over the labelled
        target = torch.where(labelled, label, nearest)
        right = nearest == target
        each = share / z.shape[1]
        even = torch.full_like(each, self.config.commitment_cost / z.numel())
        own = Pull(target, seen.gather(1, target[:, None])[:, 0], each, even)
        metrics = {"accuracy": share.dot(right.to(share.dtype))}
        if self.is_published:
            away = -each * ~right
            push = Pull(nearest, least, away, self.config.divergence_cost * away)
            (codebook, commitment), pushed = pulled(z, self.codes, own, push)
            guided = {"divergence": pushed[0] + pushed[1]}
            metrics["cross_entropy"] = share.dot(F.cross_entropy(-seen, target, reduction="none"))
            # What self.decoder does, with the gradient that it lacks.
            weight, bias = self.decoder.parameters()
            error = straight_through_error(
                z, self.codes.detach(), target, x, weight, bias, _PUBLISHED_RANGE
            )
        else:
            ((codebook, commitment),) = pulled(z, self.codes, own)
            entropy = F.cross_entropy(-distances, target, reduction="none")
            guided = {"cross_entropy": share.dot(entropy)}
            # The straight-through gradient would push the latent along its own residual, for
            # which nothing in the decoded code can make up: the encoder is left to the others.
            decoded = self._standard_genes(F.embedding(target, self.codes.detach()))
            error = squared_error(decoded, x)
        terms = {"codebook": codebook, "commitment": commitment, **guided}
        return _base.Loss(terms | {"reconstruction": share.dot(error)}, metrics)

    # -- use ------------------------------------------------------------------------------------
    def _encode(self, x: Tensor) -> Tensor:
        return self._latent(x if self.is_published else self.standardise(x))

    def _latent(self, x: Tensor) -> Tensor:
        z: Tensor = self.encoder(x)
        return z if self.is_published else self.scale * z

    def _standard_genes(self, latent: Tensor) -> Tensor:
        usage: Tensor = self.decoder(latent)
        return usage @ self.basis + self._origin()

    @torch.no_grad()
    def embed(self, x: Tensor) -> _base.Embedding:
        z = self._encode(x)
        distances = squared_distances(z, self.codes)
        nearest = distances.argmin(dim=1)
        confidence = (-distances).softmax(dim=1).amax(dim=1)
        return _base.Embedding(z, distances, nearest, self.codes[nearest], confidence)

    def codebook(self) -> Tensor:
        return self.codes

    def decode(self, latent: Tensor) -> Tensor:
        if not self.is_published:
            return self.standardise.inverse(self._standard_genes(latent))
        genes: Tensor = self.decoder(latent)
        return genes

    @classmethod
    def from_xue2020(
        cls,
        encode: str | Path | dict[str, Tensor],
        embedding: str | Path | dict[str, Tensor],
        decode: str | Path | dict[str, Tensor],
        *,
        var_names: Sequence[str],
        classes: Sequence[str],
    ) -> Self:
        """The published code book as a model; nothing in the authors' files is executed.

        Parameters
        ----------
        encode, embedding, decode
            The authors' three files, or the tensors in them: weight (and bias) by name.
        var_names
            The genes of the input, in its order: the 978 landmarks as GSE70138's gene_info
            lists them.
        classes
            The names of the codes, in their order.

        Raises
        ------
        FileError
            A file is not of the old torch format, or names more than such a module needs.
        ValueError
            Names and tensors differ in number.
        """
        w_in, b_in = _tensors(encode)
        (codes,) = _tensors(embedding)
        w_out, b_out = _tensors(decode)
        if len(classes) != len(codes):
            raise ValueError(f"classes has {len(classes)} names for {len(codes)} codes")
        config = SVQVAEConfig.published(n_latent=codes.shape[1])
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


def _tensors(source: str | Path | dict[str, Tensor]) -> list[Tensor]:
    if isinstance(source, dict):
        return list(source.values())
    from sigilla.models._legacy import read_legacy_tensors

    return list(read_legacy_tensors(source).values())
