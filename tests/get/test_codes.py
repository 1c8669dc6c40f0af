"""Tables of codes against numbers worked by hand and against the published graph."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sigilla as sg
from sigilla.errors import DataError

NAMES = ["mTOR/PI3K inhibitor", "<script>", "=cmd()", "$x$"]
PROFILES = np.array(
    [[1, 2, 3, 4, 5], [1, 2, 3, 5, 4], [5, 4, 3, 2, 1], [1, -2, 2, -2, 1]], dtype=float
)


def test_correlation_is_pearson_in_the_space_asked_for(coded):
    adata = coded(PROFILES, NAMES)
    codes = np.random.default_rng(0).normal(size=(4, 7))
    adata.uns["svqvae"]["codes"] = codes.astype(np.float32)
    genes = sg.get.code_correlation(adata, space="genes")
    latent = sg.get.code_correlation(adata, space="latent")
    np.testing.assert_allclose(genes, np.corrcoef(PROFILES), atol=1e-12)
    np.testing.assert_allclose(latent, np.corrcoef(codes), atol=1e-6)
    assert list(genes.index) == list(genes.columns) == NAMES


def test_the_default_space_is_the_one_the_method_stored(coded):
    adata = coded(PROFILES, NAMES)
    adata.uns["svqvae"]["code_correlation"] = stored = np.eye(4)
    np.testing.assert_array_equal(sg.get.code_correlation(adata), stored)
    adata.uns["svqvae"]["correlation_space"] = "latent"
    np.testing.assert_array_equal(sg.get.code_correlation(adata, space="latent"), stored)
    np.testing.assert_allclose(
        sg.get.code_correlation(adata, space="genes"), np.corrcoef(PROFILES), atol=1e-12
    )


def test_nearest_codes_of_a_case_worked_by_hand(coded):
    table = sg.get.nearest_codes(coded(PROFILES, NAMES))
    # Ranks 12345 and 12354 correlate at 0.9; 54321 is their opposite; the last one is unrelated
    # to the straight lines (r = 0) and weakly opposed to the second.
    assert table["code"].tolist()[:2] == NAMES[:2]
    assert table["nearest"].tolist()[:2] == NAMES[1::-1]
    np.testing.assert_allclose(table["distance"][:2], 0.1, atol=1e-12)
    rest = table.set_index("code")
    assert rest.loc["=cmd()", "nearest"] == "$x$"
    np.testing.assert_allclose(rest.loc["=cmd()", "distance"], 1, atol=1e-12)
    assert table["distance"].is_monotonic_increasing


def test_a_code_without_a_correlation_is_nobodys_nearest_and_comes_last(coded):
    adata = coded(PROFILES, NAMES)
    adata.uns["svqvae"]["codes"] = np.vstack([PROFILES[:3], np.ones(5)])
    r = sg.get.code_correlation(adata, space="latent")
    assert r["$x$"].isna().all()
    table = sg.get.nearest_codes(adata, space="latent")
    last = table.iloc[-1]
    assert last["code"] == "$x$"
    assert last["nearest"] is None
    assert np.isnan(last["distance"])
    assert "$x$" not in table["nearest"].tolist()


def test_published_pairs_come_out_of_the_published_codes(coded, mirror):
    from sigilla.models._legacy import read_legacy_tensors

    (codes,) = read_legacy_tensors(mirror("pretrained/S_VQ_VAE_embedding.pth")).values()
    names = pd.read_csv(mirror("tables/svqvae_75_pcl_index.tsv"), sep="\t")["pcl"]
    adata = coded(np.random.default_rng(0).normal(size=(75, 20)), names, per_class=1)
    adata.uns["svqvae"]["codes"] = codes.numpy()
    table = sg.get.nearest_codes(adata, space="latent").set_index("code")
    published = {
        ("CP_MTOR_INHIBITOR", "CP_PI3K_INHIBITOR"): 0.264,
        ("CP_DOPAMINE_RECEPTOR_ANTAGONIST", "CP_PDGFR_KIT_INHIBITOR"): 0.275,
        ("CP_MEK_INHIBITOR", "CP_SRC_INHIBITOR"): 0.340,
        ("CP_CDK_INHIBITOR", "CP_TOPOISOMERASE_INHIBITOR"): 0.343,
        ("CP_IKK_INHIBITOR", "CP_PARP_INHIBITOR"): 0.402,
    }
    for (one, other), distance in published.items():
        assert table.loc[one, "nearest"] == other
        assert table.loc[other, "nearest"] == one
        np.testing.assert_allclose(table.loc[[one, other], "distance"], distance, atol=1e-3)
    mutual = sum(table.loc[table.loc[c, "nearest"], "nearest"] == c for c in table.index)
    assert mutual == 2 * 13


def test_class_summary_counts_labels_and_nearest_codes(coded):
    adata = coded(PROFILES * 10, NAMES, per_class=3)
    adata.obs["pcl"] = [NAMES[0]] * 4 + [NAMES[1], None] + [NAMES[2]] * 3 + [None] * 3
    table = sg.get.class_summary(adata)
    assert table["n"].tolist() == [4, 1, 3, 0]
    assert table["n_nearest"].tolist() == [3, 3, 3, 3]
    np.testing.assert_allclose(table["on_own_code"], [0.75, 1, 1, np.nan])


def test_class_summary_without_labels_counts_nearest_codes_only(coded):
    table = sg.get.class_summary(coded(PROFILES * 10, NAMES, label_key=None))
    assert table["n"].tolist() == [0] * 4
    assert table["n_nearest"].tolist() == [4] * 4
    assert table["on_own_code"].isna().all()


@pytest.mark.parametrize(
    "call", [sg.get.code_correlation, sg.get.nearest_codes, sg.get.class_summary]
)
def test_a_missing_result_names_the_call_that_makes_it(call, coded):
    adata = coded(PROFILES, NAMES)
    with pytest.raises(KeyError, match=r"key='vqvae'.*sg\.tl\.vqvae\(adata\).*'svqvae'"):
        call(adata, "vqvae")
    with pytest.raises(KeyError, match=r"sg\.tl\.svqvae\(adata, key_added='mine'\)"):
        call(adata, "mine")


def test_what_is_no_result_of_a_verb_is_missing_too(coded):
    adata = coded(PROFILES, NAMES)
    adata.uns["neighbors"] = {"params": {}}
    with pytest.raises(KeyError, match="holds no result"):
        sg.get.nearest_codes(adata, "neighbors")


def test_a_method_without_codes_says_so(coded):
    adata = coded(PROFILES, NAMES)
    adata.uns["vae"] = {"method": "vae", "params": {}, "history": {}}
    with pytest.raises(DataError, match="'vae' model, which has no codes"):
        sg.get.code_correlation(adata, "vae")


def test_an_unknown_space_is_refused(coded):
    with pytest.raises(ValueError, match=r"space='gene'.*did you mean 'genes'"):
        sg.get.code_correlation(coded(PROFILES, NAMES), space="gene")
