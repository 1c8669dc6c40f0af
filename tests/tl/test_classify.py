"""Classification: what leaks where, scores against scikit-learn, what is stored and refused."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn import metrics
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sigilla as sg
from sigilla.errors import DataError
from sigilla.tl import _contenders
from sigilla.tl._scores import Answers, scores

QUICK = {"representations": ["raw"], "classifiers": ["lda"], "n_splits": 2}
SMALL = {name: sg.models.METHODS[name].Config(max_epochs=2) for name in ("vae", "svqvae")}


def signatures(n_classes=3, per_pert=8, perts=3, n_genes=20):
    """Classes of perturbagens that do nothing beside what their class does."""
    rng = np.random.default_rng(0)
    pert = np.repeat(np.arange(n_classes * perts), per_pert)
    x = rng.normal(size=(n_classes, n_genes))[pert // perts] + rng.normal(size=(len(pert), n_genes))
    names = ["mTOR/PI3K inhibitor", "<script>", "=cmd()", "d", "e"]
    obs = pd.DataFrame(
        {
            "pert_id": pd.Categorical([f"BRD-{p:02d}" for p in pert]),
            "pcl": pd.Categorical.from_codes(pert // perts, categories=names[:n_classes]),
        },
        index=[f"w{i}" for i in range(len(pert))],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    return ad.AnnData(x.astype(np.float32), obs=obs, var=var)


@pytest.fixture(scope="module")
def done():
    adata = signatures()
    sg.tl.classify(adata, configs=SMALL, n_splits=3)
    return adata


def table(adata, **options):
    return sg.get.classification(adata, **options)


# -- what is measured ----------------------------------------------------------------------------


def test_a_split_by_signatures_leaks_compounds_and_one_by_perturbagens_does_not():
    # Every perturbagen has a direction of its own, so that only a leak can tell its class.
    adata = signatures(perts=4)
    rng = np.random.default_rng(0)
    adata.X = (
        3 * rng.normal(size=(12, 20))[adata.obs["pert_id"].cat.codes] + rng.normal(size=adata.shape)
    ).astype(np.float32)
    sg.tl.classify(adata, representations=["raw", "svqvae"], configs={"svqvae": SMALL["svqvae"]})
    by = table(adata).groupby("split")["accuracy"]
    assert by.min()["signatures"] > 0.9
    assert by.max()["perturbagens"] < 0.6


def test_representations_are_learnt_from_the_fold_alone(monkeypatch):
    adata = signatures()
    fits = []
    learn = _contenders.fit

    def spy(model, x, label=None, **options):
        fits.append((model.name, {row.tobytes() for row in x}, label))
        return learn(model, x, label, **options)

    monkeypatch.setattr(_contenders, "fit", spy)
    sg.tl.classify(adata, configs=SMALL, n_splits=3, split="perturbagens")
    # Once per fold and method, however many classifiers there are.
    assert [name for name, _, _ in fits] == ["vae", "svqvae"] * 3
    rows = np.array([row.tobytes() for row in adata.X], dtype=object)
    left_out = []
    for name, seen, label in fits:
        assert (label is None) == (name == "vae")
        out = ~np.isin(rows, list(seen))
        left_out.append(out)
        inside = set(adata.obs["pert_id"][~out])
        assert not inside & set(adata.obs["pert_id"][out])
    assert (np.sum(left_out[::2], axis=0) == 1).all()


def test_answers_of_lda_are_scikit_learns(done):
    adata = signatures()
    sg.tl.classify(adata, split="signatures", **QUICK)
    from sigilla.tl._folds import deal

    label = adata.obs["pcl"].cat.codes.to_numpy()
    folds = deal(label, np.arange(len(label)), 3, 2, 0)
    confusion = np.zeros((3, 3), dtype=int)
    for f in range(2):
        a, b = folds.training(f), folds.test(f)
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        model = make_pipeline(StandardScaler(), lda).fit(adata.X[a].astype(float), label[a])
        confusion += metrics.confusion_matrix(label[b], model.predict(adata.X[b].astype(float)))
    np.testing.assert_array_equal(sg.get.confusion(adata), confusion)


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth, p = rng.integers(4, size=200), rng.dirichlet(np.ones(4), size=200)
    found = scores(Answers(truth, p.argmax(axis=1), p, np.zeros(200, dtype=int)))
    one_hot = np.eye(4)[truth]
    expected = {
        "accuracy": metrics.accuracy_score(truth, p.argmax(axis=1)),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, p.argmax(axis=1)),
        "log_loss": metrics.log_loss(truth, p),
        "brier": np.square(p - one_hot).sum(axis=1).mean(),
        "calibration_error": sg.metrics.calibration_error(p.max(axis=1), p.argmax(axis=1) == truth),
    }
    assert found == pytest.approx(expected)


def test_a_class_of_one_perturbagen_is_never_asked_but_can_be_answered(caplog):
    adata = signatures(n_classes=4)
    alone = adata.obs["pcl"] == "d"
    adata.obs["pert_id"] = adata.obs["pert_id"].astype(object).where(~alone, "BRD-only")
    # It looks just like the first class, which must be mistaken for it now and then.
    first = (adata.obs["pcl"] == "mTOR/PI3K inhibitor").to_numpy()
    adata.X[alone.to_numpy()] = adata.X[first][:, :]
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        sg.tl.classify(adata, **QUICK)
    assert f"{alone.sum()} of {adata.n_obs} signatures are trained on but not asked" in caplog.text
    assert "'d'" in caplog.text
    stored = adata.uns["classify"]
    assert stored["n_asked"][0].tolist() == [24, 24, 24, 24]
    assert stored["n_asked"][1].tolist() == [24, 24, 24, 0]
    assert stored["n_units"][1].tolist() == [3, 3, 3, 1]
    confusion = sg.get.confusion(adata)
    assert confusion.loc["d"].sum() == 0
    assert confusion.loc["mTOR/PI3K inhibitor", "d"] > 0
    shares = sg.get.confusion(adata, normalize=True)
    assert shares.loc["d"].isna().all()
    np.testing.assert_allclose(shares.drop(index="d").sum(axis=1), 1)
    # Splits are compared on what both ask about.
    rows = table(adata).set_index("split")
    assert rows.loc["perturbagens", "accuracy_common"] == rows.loc["perturbagens", "accuracy"]
    both = sg.get.confusion(adata, split="signatures").drop(index="d")
    right = sum(both.loc[c, c] for c in both.index) / both.to_numpy().sum()
    assert rows.loc["signatures", "accuracy_common"] == pytest.approx(right)


def test_unlabelled_signatures_train_what_needs_no_label_and_are_not_asked():
    adata = signatures()
    adata.obs["pcl"] = adata.obs["pcl"].where(np.arange(adata.n_obs) % 5 > 0)
    sg.tl.classify(adata, configs=SMALL, n_splits=2, split="perturbagens")
    asked = adata.obs["classify_perturbagens"].notna()
    np.testing.assert_array_equal(asked, adata.obs["pcl"].notna())
    assert adata.obs["classify_perturbagens_confidence"][asked].between(0, 1).all()
    assert adata.obs["classify_perturbagens_confidence"][~asked].isna().all()


def test_a_class_of_two_signatures_breaks_no_classifier():
    adata = signatures()
    few = adata.obs["pcl"] == "=cmd()"
    keep = ~few | (few.cumsum() <= 2)
    adata = adata[keep].copy()
    sg.tl.classify(adata, configs=SMALL, n_splits=2, split="signatures")
    assert np.isfinite(adata.uns["classify"]["pooled"]["accuracy"]).all()


# -- what is stored ------------------------------------------------------------------------------


def test_the_table_has_a_row_for_every_contender(done):
    found = table(done)
    assert len(found) == 2 * 10
    assert ((found["accuracy_low"] <= found["accuracy"]) & (found["accuracy"] <= 1)).all()
    assert (found["accuracy"] <= found["accuracy_high"]).all()
    svm = found["classifier"] == "linear_svm"
    for measure in ("log_loss", "brier", "calibration_error"):
        assert found.loc[svm, measure].isna().all()
        assert found.loc[~svm, measure].notna().all()
    assert set(found.loc[found["classifier"] == "nearest_code", "representation"]) == {"svqvae"}
    np.testing.assert_allclose(found["largest_class"], 1 / 3)
    folds = table(done, by_fold=True)
    assert len(folds) == 3 * len(found)
    means = folds.groupby(["split", "representation", "classifier"])["accuracy"].mean()
    pooled = found.set_index(["split", "representation", "classifier"])["accuracy"]
    np.testing.assert_allclose(means, pooled[means.index], atol=1e-9)  # folds of equal size


def test_obs_has_the_nearest_codes_answers(done):
    for split in ("signatures", "perturbagens"):
        own = done.obs["pcl"].astype(str) == done.obs[f"classify_{split}"].astype(str)
        confusion = sg.get.confusion(done, split=split)
        assert own.sum() == np.trace(confusion)
        assert list(done.obs[f"classify_{split}"].cat.categories) == list(confusion.index)


def test_calibration_counts_every_answer_once(done):
    found = sg.get.calibration(done)
    count = found.groupby(["split", "representation", "classifier"])["count"].sum()
    assert len(count) == 2 * 7
    assert (count == done.n_obs).all()


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_it_survives_a_file(done, tmp_path, suffix):
    path = tmp_path / f"done.{suffix}"
    getattr(done, f"write_{suffix}")(path)
    again = getattr(ad, f"read_{suffix}")(path)
    pd.testing.assert_frame_equal(table(again), table(done))
    pd.testing.assert_frame_equal(sg.get.confusion(again), sg.get.confusion(done))
    assert (again.obs["classify_signatures"] == done.obs["classify_signatures"]).all()


def test_same_seed_same_result_in_one_process_or_two(done):
    again = signatures()
    options = {"representations": ["raw", "svqvae"], "split": "perturbagens", "n_splits": 3}
    sg.tl.classify(again, configs={"svqvae": SMALL["svqvae"]}, n_jobs=2, **options)
    expected = table(done).query("split == 'perturbagens' and representation != 'vae'")
    columns = [c for c in expected if c != "accuracy_common"]
    pd.testing.assert_frame_equal(
        table(again)[columns], expected[columns].reset_index(drop=True), rtol=1e-4
    )


def test_copies_keys_and_one_split():
    adata = signatures()
    copied = sg.tl.classify(
        adata,
        copy=True,
        key_added="cv",
        split="signatures",
        representations="raw",
        classifiers="lda",
        n_splits=2,
    )
    assert not adata.uns
    assert list(adata.obs) == ["pert_id", "pcl"]
    assert table(copied, key="cv")["split"].tolist() == ["signatures"]
    assert list(copied.obs) == ["pert_id", "pcl"]  # no contender has codes


def test_without_perturbagens_only_signatures_can_be_split():
    adata = signatures()
    del adata.obs["pert_id"]
    with pytest.raises(KeyError, match=r"unit='pert_id'.*split='signatures'"):
        sg.tl.classify(adata, **QUICK)
    sg.tl.classify(adata, split="signatures", **QUICK)
    assert len(table(adata)) == 1


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_key": "moa"}, KeyError, "label_key='moa'"),
        ({"representations": ["vea"]}, ValueError, "did you mean 'vae'"),
        ({"classifiers": ["svm"]}, ValueError, "classifiers='svm' not found"),
        ({"classifiers": ["nearest_code"]}, ValueError, "leave nothing to compare"),
        ({"representations": []}, ValueError, "leave nothing to compare"),
        ({"split": "wells"}, ValueError, "split='wells'"),
        ({"n_splits": 1}, ValueError, "n_splits=1"),
        ({"n_splits": 2.5}, ValueError, "n_splits=2.5"),
        ({"key_added": ""}, ValueError, "key_added=''"),
        ({"n_splits": 10}, DataError, "split='perturbagens': n_splits=10"),
        ({"key_added": "a/b"}, ValueError, "slash"),
        ({"configs": {"vae": SMALL["vae"]}}, ValueError, "configs='vae' not found"),
        (
            {"representations": ["vae"], "configs": {"vae": SMALL["svqvae"]}},
            TypeError,
            r"sg\.models\.VAE\.Config",
        ),
        ({"configs": [1]}, TypeError, r"configs=\[1\] must name the method of each Config"),
        ({"n_jobs": 0}, ValueError, "n_jobs=0 must be .* at least 1; give 1 .* -1 for one on each"),
        ({"layer": "z"}, KeyError, "layer='z'"),
        ({"device": "gpu"}, ValueError, "device"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(options, error, message):
    adata = signatures()
    with pytest.raises(error, match=message):
        sg.tl.classify(adata, **(QUICK | options))
    assert not adata.uns
    assert list(adata.obs) == ["pert_id", "pcl"]


def test_one_perturbagen_per_class_leaves_nothing_to_ask():
    adata = signatures(perts=1)
    with pytest.raises(DataError, match="split='perturbagens': no class has two"):
        sg.tl.classify(adata, **QUICK)


def test_lda_on_single_signatures_is_refused_before_the_work():
    adata = signatures(per_pert=1, perts=2)
    with pytest.raises(DataError, match="'lda' needs two classes of two signatures"):
        sg.tl.classify(adata, **QUICK)
    sg.tl.classify(adata, **(QUICK | {"classifiers": ["logistic_regression", "linear_svm"]}))
    assert len(table(adata)) == 4


def test_getters_say_what_is_missing(done):
    for getter in (sg.get.classification, sg.get.confusion, sg.get.calibration):
        with pytest.raises(KeyError, match=r"sg\.tl\.classify"):
            getter(signatures())
    with pytest.raises(ValueError, match="split='wells'"):
        sg.get.confusion(done, split="wells")
    with pytest.raises(ValueError, match="representation='genes'"):
        sg.get.confusion(done, representation="genes")
    with pytest.raises(ValueError, match="no 'nearest_code' on 'raw'"):
        sg.get.confusion(done, representation="raw", classifier="nearest_code")


# -- what is shown -------------------------------------------------------------------------------


def test_the_confusion_plot_shows_the_shares_of_the_table(done):
    ax = sg.pl.confusion(done, split="signatures")
    rows = [t.get_text().rpartition(" (")[0] for t in ax.get_yticklabels()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    assert sorted(rows) == sorted(columns) == sorted(["mTOR/PI3K inhibitor", "<script>", "=cmd()"])
    share = 100 * sg.get.confusion(done, split="signatures", normalize=True)
    np.testing.assert_allclose(ax.images[0].get_array(), share.loc[rows, columns])
    assert "single wells left out" in ax.get_title(loc="left")


def test_the_calibration_plot_has_a_line_for_each_contender_with_probabilities(done):
    ax = sg.pl.calibration(done)
    found = table(done).query("split == 'perturbagens'").dropna(subset="calibration_error")
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    errors = [int(text.rpartition(": ")[2]) for text in labels]
    assert errors == sorted((100 * found["calibration_error"]).round().astype(int))
    one = sg.pl.calibration(done, classifier="nearest_code")
    assert len(one.get_legend().get_texts()) == 1
    with pytest.raises(DataError, match="probabilities"):
        sg.pl.calibration(done, classifier="linear_svm")


@pytest.mark.parametrize("plot", [sg.pl.confusion, sg.pl.calibration])
def test_plots_draw_where_they_are_told_and_are_saved(done, plot, tmp_path):
    figure, ax = plt.subplots()
    assert plot(done, ax=ax, save=tmp_path / "plot.png") is ax
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert plt.get_fignums() == [figure.number]
