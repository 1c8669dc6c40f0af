from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sigilla.models import SVQVAE, Batch
from sigilla.models._discriminant import _leave_one_out, _left_out_distances, _spread, discriminant
from sigilla.models.svqvae import SVQVAEConfig
from sigilla.train import fit


def names(n):
    return [f"class {i}" for i in range(n)]


def accuracy(model, x, label):
    return float((model.embed(torch.as_tensor(x)).nearest.numpy() == label).mean())


# -- the published objective -------------------------------------------------------------------


class Shift(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.by = torch.nn.Parameter(torch.zeros(1, 2))

    def forward(self, x):
        return x + self.by


class HandWorked:
    """One sample of class 0 whose latent lies nearer code 1; the encoder does nothing.

    z = (1, 0), own code e0 = (3, 0), wrong code e1 = (1, 1): squared distances 4 and 1. What the
    own code decodes to misses x = (1, 0) in the first gene only, by ``miss``.
    """

    miss = 10 * math.tanh(0.3) - 1

    def __init__(self, **options):
        self.model = SVQVAE(
            SVQVAEConfig.published(n_latent=2, **options), n_features=2, classes=["a", "b"]
        )
        self.model.encoder = torch.nn.Identity()
        with torch.no_grad():
            # The published decoder, 10 tanh(a linear map), where that is a tenth.
            self.model.decoder[0].weight.copy_(torch.eye(2) / 10)
            self.model.decoder[0].bias.zero_()
            self.model.codes.copy_(torch.tensor([[3.0, 0.0], [1.0, 1.0]]))
        self.x = torch.tensor([[1.0, 0.0]], requires_grad=True)

    def terms(self, label=0, x=None):
        x = self.x if x is None else x
        label = torch.full((len(x),), label)
        return self.model.loss(Batch(x, label), phase="main").terms

    def gradients(self, term, **kwargs):
        self.model.zero_grad()
        self.x.grad = None
        self.terms(**kwargs)[term].backward()
        zero = torch.zeros_like
        codes = self.model.codes.grad
        return (
            zero(self.model.codes) if codes is None else codes,
            zero(self.x) if self.x.grad is None else self.x.grad,
        )


def test_the_codebook_term_pulls_the_own_code_only_by_2_over_bd_times_e_minus_z():
    codes, z = HandWorked().gradients("codebook")
    torch.testing.assert_close(codes, torch.tensor([[2.0, 0.0], [0.0, 0.0]]))  # 2/(1*2) (3-1)
    torch.testing.assert_close(z, torch.zeros(1, 2))


def test_the_commitment_term_pulls_the_latent_only_by_beta():
    codes, z = HandWorked(commitment_cost=0.25).gradients("commitment")
    torch.testing.assert_close(codes, torch.zeros(2, 2))
    torch.testing.assert_close(z, torch.tensor([[0.25 * -2.0, 0.0]]))


def test_divergence_pushes_the_wrong_code_at_full_and_the_latent_at_gamma_weight():
    codes, z = HandWorked(divergence_cost=0.1).gradients("divergence")
    # -d/de1 mean (z - e1)^2 = -(e1 - z) 2/2; the own code is not touched.
    torch.testing.assert_close(codes, torch.tensor([[0.0, 0.0], [0.0, -1.0]]))
    torch.testing.assert_close(z, torch.tensor([[0.0, 0.1]]))


def test_without_gamma_the_wrong_code_is_pushed_all_the_same():
    codes, z = HandWorked(divergence_cost=0.0).gradients("divergence")
    torch.testing.assert_close(codes[1], torch.tensor([0.0, -1.0]))
    torch.testing.assert_close(z, torch.zeros(1, 2))


def test_a_sample_at_its_own_code_is_pushed_from_nothing():
    codes, z = HandWorked().gradients("divergence", label=1)
    assert not codes.any()
    assert not z.any()


def test_divergence_is_divided_by_the_batch_not_by_the_mismatches():
    hand = HandWorked()
    alone = hand.terms()["divergence"]
    right = torch.tensor([[3.0, 0.0]] * 3)  # at code 0: no mismatch
    among = hand.terms(x=torch.cat([hand.x.detach(), right]))["divergence"]
    torch.testing.assert_close(among, alone / 4)


def test_the_labels_code_is_decoded_and_its_error_reaches_the_latent_straight_through():
    hand = HandWorked()
    hand.x.requires_grad_(requires_grad=False)
    hand.model.encoder = Shift()
    loss = hand.terms()["reconstruction"]
    # The label's code, although the other one is nearer.
    torch.testing.assert_close(loss, torch.tensor(hand.miss**2 / 2))
    loss.backward()
    assert hand.model.codes.grad is None
    slope = 1 - math.tanh(0.3) ** 2  # 10 of the range, a tenth of the map
    torch.testing.assert_close(hand.model.encoder.by.grad, torch.tensor([[hand.miss * slope, 0.0]]))


def test_the_terms_add_up_to_the_loss_with_weight_one_each():
    hand = HandWorked()
    loss = hand.model.loss(Batch(hand.x, torch.tensor([0])), phase="main")
    # reconstruction + 2 (codebook) + .25 * 2 (commitment) - 1.1 * .5 (divergence)
    expected = hand.miss**2 / 2 + 2 + 0.5 - 0.55
    torch.testing.assert_close(loss.total, torch.tensor(expected))


def test_half_precision_has_the_gradients_of_the_published_decoder_within_its_rounding():
    torch.manual_seed(0)
    x, label = torch.randn(64, 50), torch.randint(7, (64,))
    gradients = []
    for half in (False, True):
        config = SVQVAEConfig.published(n_latent=30)
        model = SVQVAE(config, n_features=50, classes=names(7))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            terms = model.loss(Batch(x, label), phase="main").terms
        terms["reconstruction"].backward()
        reached = [*model.encoder.parameters(), *model.decoder.parameters()]
        gradients.append([p.grad for p in reached])
    for exact, rounded in zip(*gradients, strict=True):
        assert rounded.dtype == torch.float32
        # Factors and products are rounded to 8 bits; half a per cent was measured.
        assert 0 < (rounded - exact).norm() < exact.norm() / 100


def test_the_published_architecture_and_start():
    model = SVQVAE(SVQVAEConfig.published(), n_features=978, classes=names(75))
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert shapes == {
        "codes": (75, 1000),
        "encoder.0.weight": (1000, 978),
        "encoder.0.bias": (1000,),
        "decoder.0.weight": (978, 1000),
        "decoder.0.bias": (978,),
    }
    assert 0.9 / 75 < model.codes.abs().max() <= 1 / 75
    assert model.phases()[0].amsgrad
    assert model.config.learning_rate == 1e-4
    assert model.config.batch_size == 256
    assert model.config.max_epochs == 900
    assert model.decode(1e6 * torch.ones(1, 1000)).abs().max() == 10
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.prepare(torch.randn(150, 978), torch.arange(150) % 75)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


# -- the published code book -------------------------------------------------------------------


def test_from_xue2020_takes_tensors_and_refuses_a_wrong_number_of_names():
    encode = {"0.weight": torch.randn(4, 6), "0.bias": torch.randn(4)}
    decode = {"0.weight": torch.randn(6, 4), "0.bias": torch.randn(6)}
    codes = {"weight": torch.randn(3, 4)}
    model = SVQVAE.from_xue2020(
        encode, codes, decode, var_names=list("uvwxyz"), classes=["a", "b", "c"]
    )
    torch.testing.assert_close(model.codebook().detach(), codes["weight"])
    expected = 10 * torch.tanh(codes["weight"] @ decode["0.weight"].T + decode["0.bias"])
    torch.testing.assert_close(model.prototypes().detach(), expected)
    with pytest.raises(ValueError, match="classes has 2 names for 3 codes"):
        SVQVAE.from_xue2020(encode, codes, decode, var_names=list("uvwxyz"), classes=["a", "b"])


def test_the_published_code_book_has_the_published_nearest_pairs(mirror):
    files = [mirror(f"pretrained/S_VQ_VAE_{n}.pth") for n in ("encode", "embedding", "decode")]
    table = mirror("tables/svqvae_75_pcl_index.tsv").read_text().splitlines()[1:]
    classes = [line.split("\t")[1] for line in table]
    model = SVQVAE.from_xue2020(*files, var_names=[str(i) for i in range(978)], classes=classes)
    apart = 1 - np.corrcoef(model.codebook().detach().numpy())
    np.fill_diagonal(apart, np.inf)
    published = {
        ("MTOR_INHIBITOR", "PI3K_INHIBITOR"): 0.264,
        ("DOPAMINE_RECEPTOR_ANTAGONIST", "PDGFR_KIT_INHIBITOR"): 0.275,
        ("MEK_INHIBITOR", "SRC_INHIBITOR"): 0.340,
        ("CDK_INHIBITOR", "TOPOISOMERASE_INHIBITOR"): 0.343,
        ("IKK_INHIBITOR", "PARP_INHIBITOR"): 0.402,
        ("PKC_INHIBITOR", "GLYCOGEN_SYNTHASE_KINASE_INHIBITOR"): 0.469,
    }
    for pair, distance in published.items():
        i, j = (classes.index(f"CP_{name}") for name in pair)
        assert apart[i].argmin() == j, pair
        assert apart[j].argmin() == i, pair
        assert apart[i, j] == pytest.approx(distance, abs=1e-3)


# -- the start ---------------------------------------------------------------------------------


def test_leaving_one_out_by_formula_is_leaving_one_out():
    rng = np.random.default_rng(0)
    label = np.arange(40) % 8
    x = rng.normal(size=(40, 60)) + 0.3 * label[:, None]
    shrinkage = 0.2
    tx, ty = torch.from_numpy(x), torch.from_numpy(label)
    spread = _spread(tx, ty, 8, n_features=60)
    found = _left_out_distances(
        tx @ spread.axes, spread.mean @ spread.axes, ty, spread.count[ty], spread, shrinkage
    )
    identity = np.trace((x - x_mean(x, label)[label]).T @ (x - x_mean(x, label)[label])) / 32 / 60
    for i in range(40):
        kept = np.arange(40) != i
        mean = x_mean(x[kept], label[kept])
        residual = x[kept] - mean[label[kept]]
        # The freedom of the full data and its average variance stay: scale, not direction.
        covariance = (1 - shrinkage) * residual.T @ residual / 32
        covariance += shrinkage * identity * np.eye(60)
        apart = x[i] - mean
        expected = (apart * np.linalg.solve(covariance, apart.T).T).sum(axis=1)
        np.testing.assert_allclose(found[i], expected, rtol=1e-6)


def x_mean(x, label):
    return np.stack([x[label == k].mean(axis=0) for k in np.unique(label)])


def test_the_start_is_the_linear_discriminant():
    """Of the same shrinkage and equal priors; the latent keeps all that tells classes apart."""
    x, label, _ = blobs(1200, 20, 6)
    start = discriminant(torch.from_numpy(x), torch.from_numpy(label), 6, 8)
    z = torch.from_numpy(x) @ start.projection.T
    nearest = torch.cdist(z, start.means).argmin(dim=1).numpy()
    lda = LinearDiscriminantAnalysis("lsqr", shrinkage=start.shrinkage, priors=np.full(6, 1 / 6))
    assert (nearest == lda.fit(x, label).predict(x)).mean() > 0.998


def test_few_noisy_observations_are_shrunken_more_than_many():
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(5, 80)) * 2

    def chosen(n):
        label = torch.arange(n) % 4
        x = rng.normal(size=(n, 80)) + rng.normal(size=(n, 5)) @ loadings
        x = torch.from_numpy(x + 0.4 * rng.normal(size=(4, 80))[label])
        return _leave_one_out(x, label, _spread(x, label, 4, n_features=80))[0]

    assert chosen(2000) < chosen(40)


def test_more_features_than_an_eigendecomposition_can_take_are_projected(monkeypatch):
    x, label, _ = blobs(60, 90, 4)
    tx, ty = torch.from_numpy(x), torch.from_numpy(label)
    whole = discriminant(tx, ty, 4, 8)
    monkeypatch.setattr("sigilla.models._discriminant._WIDTH", 70)
    inside = discriminant(tx, ty, 4, 8)
    assert inside.shrinkage == whole.shrinkage
    apart = [torch.cdist(tx @ d.projection.T, d.means) for d in (whole, inside)]
    assert torch.equal(apart[0].argmin(dim=1), apart[1].argmin(dim=1))


# -- the default objective ---------------------------------------------------------------------


def blobs(n, n_genes, k, seed=0):
    """Gaussian classes whose centroids lie on an ever wider spiral: known, distinct distances."""
    rng = np.random.default_rng(seed)
    angle, radius = np.arange(k) * 0.8, 2 + np.arange(k) * 0.7
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    axes = np.linalg.qr(rng.normal(size=(n_genes, 2)))[0]
    centre = plane @ axes.T
    label = np.arange(n) % k
    x = centre[label] + rng.normal(size=(n, n_genes))
    return x.astype(np.float32), label, centre


@pytest.fixture(scope="module")
def spiral():
    x, label, centre = blobs(900, 30, 8)
    model = SVQVAE(SVQVAEConfig(n_latent=16, n_hidden=32), n_features=30, classes=names(8))
    history = fit(model, x, label)
    return model, history, centre


def test_blobs_are_told_as_well_as_by_lda(spiral):
    model, _, _ = spiral
    x, label, _ = blobs(900, 30, 8)
    rng = np.random.default_rng(5)
    _, _, centre = blobs(1, 30, 8)
    new = (centre[label] + rng.normal(size=x.shape)).astype(np.float32)
    lda = LinearDiscriminantAnalysis().fit(x, label).score(new, label)
    assert accuracy(model, new, label) > lda - 0.02


def test_codes_lie_apart_as_the_centroids_do_and_decode_to_them(spiral):
    model, _, centre = spiral
    pairs = np.triu_indices(8, k=1)

    def distances(points):
        return np.linalg.norm(points[:, None] - points[None], axis=2)[pairs]

    codes = model.codebook().detach().numpy()
    assert spearmanr(distances(codes), distances(centre)).statistic > 0.95
    prototypes = model.prototypes().detach().numpy()
    assert np.abs(prototypes - centre).mean() < 0.1


def test_confidence_is_calibrated(spiral):
    model, _, _ = spiral
    rng = np.random.default_rng(6)
    _, _, centre = blobs(1, 30, 8)
    label = np.arange(4000) % 8
    new = (centre[label] + rng.normal(size=(4000, 30))).astype(np.float32)
    found = model.embed(torch.from_numpy(new))
    right = (found.nearest.numpy() == label).mean()
    assert found.confidence.mean().item() == pytest.approx(right, abs=0.06)


def test_code_norms_do_not_grow(spiral):
    """The published push-away has no floor; the cross-entropy in its place has one."""
    model, history, _ = spiral
    assert model.codebook().norm(dim=1).max() < 50
    assert history["cross_entropy"].min() > 0


def test_encoder_gets_no_gradient_from_the_reconstruction(spiral):
    model, _, _ = spiral
    x, label, _ = blobs(64, 30, 8)
    batch = Batch(torch.from_numpy(x), torch.from_numpy(label))
    model.zero_grad()
    model.loss(batch, phase="main").terms["reconstruction"].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"decoder.weight", "decoder.bias"}


# -- data as they come -------------------------------------------------------------------------


def quick(n_classes, n_genes, **options):
    config = SVQVAEConfig(**({"n_latent": 16, "n_hidden": 32, "max_epochs": 5} | options))
    return SVQVAE(config, n_features=n_genes, classes=names(n_classes))


def test_the_order_of_observations_does_not_change_the_start():
    x, label, _ = blobs(300, 20, 5)
    order = np.random.default_rng(0).permutation(300)
    tables = []
    for rows in (np.arange(300), order):
        model = quick(5, 20, max_epochs=0, validation_fraction=0)
        fit(model, x[rows], label[rows])
        tables.append(model.embed(torch.from_numpy(x)).distances)
    torch.testing.assert_close(tables[0], tables[1], rtol=1e-3, atol=1e-3)


def test_the_order_of_classes_changes_names_only():
    x, label, _ = blobs(600, 20, 5)
    relabel = np.array([3, 0, 4, 1, 2])
    plain, shuffled = quick(5, 20), quick(5, 20)
    fit(plain, x, label)
    fit(shuffled, x, relabel[label])
    a = plain.embed(torch.from_numpy(x)).nearest.numpy()
    b = shuffled.embed(torch.from_numpy(x)).nearest.numpy()
    assert (relabel[a] == b).mean() > 0.98
    pair = [m.prototypes().detach().numpy() for m in (plain, shuffled)]
    np.testing.assert_allclose(pair[0], pair[1][relabel], atol=0.1)


def test_observations_without_a_label_are_annotated_and_leave_codes_and_prototypes_alone():
    x, label, _ = blobs(800, 20, 5)
    hidden = np.arange(800) % 4 == 0
    model = quick(5, 20)
    fit(model, x, np.where(hidden, -1, label))
    lda = LinearDiscriminantAnalysis().fit(x[~hidden], label[~hidden])
    assert accuracy(model, x[hidden], label[hidden]) > lda.score(x[hidden], label[hidden]) - 0.03
    batch = Batch(torch.from_numpy(x[:64]), torch.full((64,), -1))
    model.zero_grad()
    loss = model.loss(batch, phase="main")
    assert {name for name, value in loss.terms.items() if value.item() != 0} == {"commitment"}
    loss.total.backward()
    assert not model.codes.grad.any()


def test_classes_of_one_signature_and_great_imbalance_work():
    x, label, centre = blobs(500, 20, 5)
    label[label == 4] = 0
    x[label == 0] += centre[0] - x[label == 0].mean(axis=0)
    lone = (centre[4] + np.random.default_rng(1).normal(size=20)).astype(np.float32)
    model = quick(5, 20)
    fit(model, np.vstack([x, lone]), np.append(label, 4))
    assert model.embed(torch.from_numpy(lone[None])).nearest.item() == 4


def test_every_class_may_have_one_signature():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 15)).astype(np.float32)
    model = quick(6, 15)
    fit(model, x, np.arange(6))
    assert accuracy(model, x, np.arange(6)) == 1
    assert torch.isfinite(model.prototypes()).all()


def test_three_hundred_classes_fit():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(300, 40)) * 1.5
    label = np.arange(1200) % 300
    x = (centre[label] + rng.normal(size=(1200, 40)) * 0.7).astype(np.float32)
    new = (centre[label] + rng.normal(size=(1200, 40)) * 0.7).astype(np.float32)
    model = quick(300, 40, n_latent=40)
    fit(model, x, label)
    assert accuracy(model, new, label) > 0.9


def test_fewer_samples_than_genes_constant_genes_and_other_units_work():
    x, label, _ = blobs(40, 100, 4)
    x[:, 0] = 7
    model, scaled = quick(4, 100), quick(4, 100)
    fit(model, x, label)
    prototypes = model.prototypes().detach()
    torch.testing.assert_close(prototypes[:, 0], torch.full((4,), 7.0))
    units = np.geomspace(1e-3, 1e3, 100).astype(np.float32)
    fit(scaled, x * units + 50 * units, label)
    a = model.embed(torch.from_numpy(x)).nearest
    b = scaled.embed(torch.from_numpy(x * units + 50 * units)).nearest
    assert torch.equal(a, b)


def test_an_empty_class_has_a_finite_code():
    x, label, _ = blobs(200, 20, 4)
    model = quick(5, 20)
    fit(model, x, label)
    assert torch.isfinite(model.codebook()).all()
    assert accuracy(model, x, label) > 0.5
