"""The page says what is stored, runs nothing that came from data, and asks nobody anything."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

import sigilla as sg
from sigilla.report._words import name as quoted

VOID = {"meta", "img", "input", "br", "wbr", "link", "col"}


class Page(HTMLParser):
    """Every start tag with its attributes, the text outside scripts, and whether tags balance."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.script, self.open = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.script if self.open and self.open[-1] == "script" else self.text).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_is_well_formed(page):
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_class_name_is_text_and_none_is_markup(page, simulated):
    text = "".join(page.text)
    for name in simulated.obs["pcl"].cat.categories:
        assert name in text
    assert len(page.all("script")) == 1
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert "<b>A & B</b>" in text
    assert not page.all("b")
    assert "{{ 7 * 7 }}" in text


def test_the_page_requests_nothing(html, page):
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            link = attrs.get(name, "#")
            assert link.startswith(("data:image/svg+xml;base64,", "#")) or "/" not in link
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", html))


def test_the_policy_admits_the_one_script_and_no_other(page):
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    digest = base64.b64encode(hashlib.sha256("".join(page.script).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_links_lead_to_parts_of_the_page_or_files_beside_it(page, folder):
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = [a["href"] for a in page.all("a")]
    assert len(links) > 8
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (folder / link).is_file()


def test_classes_of_pairs_link_to_their_genes(html, simulated):
    rows = dict(re.findall(r'<tr id="(class-\d+)">\s*<th scope="row">(.*?)</th>', html))
    names = {str(escape(n)).replace("_", "_<wbr>") for n in simulated.obs["pcl"].cat.categories}
    assert set(rows.values()) == names
    links = re.findall(r'<td><a href="#(class-\d+)">(.*?)</a></td>', html)
    n = len(names)
    assert len(links) == n * (n - 1)
    assert all(rows[anchor] == name for anchor, name in links)


def test_the_most_alike_is_not_named_without_saying_that_it_was_not_tested(fitted, tmp_path):
    one = fitted.copy()
    one.obs["pert_id"] = one.obs["pcl"].astype(str)  # a perturbagen for each class
    one.uns["svqvae"].pop("code_correlation_stats", None)
    (path,) = sg.report.pcl_correlation(
        one, tmp_path, n_splits=0, n_boot=2, n_perm=2, date=None, progress=False
    )
    summary = Page(path.read_text(encoding="utf-8")).text
    (sentence,) = [t for t in summary if "are the most alike" in t]
    assert sentence.endswith(", not tested).")
    assert any("could not be tested" in t for t in summary)


def test_pictures_are_whole_have_words_and_no_script(page, simulated):
    images = page.all("img")
    assert len(images) == 5
    for image in images:
        assert len(image["alt"]) > 20
        svg = base64.b64decode(image["src"].partition(",")[2]).decode()
        assert svg.rstrip().endswith("</svg>")
        assert "<script" not in svg
    heatmap = base64.b64decode(images[0]["src"].partition(",")[2]).decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in heatmap
    assert "ビタミンD受容体" in heatmap


def test_the_summary_names_the_closest_pair(page, fitted):
    first = sg.get.nearest_codes(fitted).iloc[0]
    sentence = next(t for t in page.text if "are the most alike" in t)
    assert f"{quoted(first['code'])} and {quoted(first['nearest'])}" in sentence
    assert f"{1 - first['distance']:.2f}" in sentence


def test_the_page_tells_how_accuracy_was_measured(page):
    text = " ".join("".join(page.text).split())
    for words in ("shrinkage LDA", "nearest class mean", "95 % interval", "one part was left out"):
        assert words in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "of the held-out signatures the compound was also among those fitted" in text


def test_tables_read_back_as_the_tables_of_get(folder, fitted):
    r = pd.read_csv(folder / "code_correlation.csv", index_col=0)
    expected = sg.get.code_correlation(fitted)
    np.testing.assert_allclose(r, expected, atol=1e-12)
    assert [n.removeprefix("'") for n in r.index] == expected.index.tolist()
    nearest = pd.read_csv(folder / "nearest_codes.csv")
    expected = sg.get.nearest_codes(fitted)
    assert [n.removeprefix("'") for n in nearest["nearest"]] == expected["nearest"].tolist()
    np.testing.assert_allclose(nearest["distance"], expected["distance"])
    genes = pd.read_csv(folder / "top_genes.csv")
    np.testing.assert_allclose(genes["value"], sg.get.top_genes(fitted)["value"], rtol=1e-6)


def test_no_name_in_a_csv_is_a_formula(folder):
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, header=None, dtype=str)
        cells = table.to_numpy().ravel()
        assert not [c for c in cells if isinstance(c, str) and c.startswith(("=", "@", "+"))]
        assert "'=cmd()" in cells


def test_the_fitted_file_is_the_fitted_data(folder, fitted):
    read = ad.read_h5ad(folder / "fitted.h5ad")
    pd.testing.assert_frame_equal(sg.get.code_correlation(read), sg.get.code_correlation(fitted))
    np.testing.assert_array_equal(read.X, fitted.X)


def test_nothing_else_is_left_behind(folder):
    assert {p.name for p in folder.iterdir()} == {
        "report.html",
        "pairs.csv",
        "code_correlation.csv",
        "nearest_codes.csv",
        "top_genes.csv",
        "fitted.h5ad",
        "piece.json",
    }
