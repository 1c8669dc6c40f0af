"""Names that try to be something else, from the file on disk to page, pictures, tables, folders."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as ET

import anndata as ad
import pandas as pd
import pytest

import sigilla as sg
from sigilla.report._inputs import folder_name

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def chain(fitted, tmp_path_factory):
    """Classes with hostile names, in files with hostile names, reported as one job."""
    base = tmp_path_factory.mktemp("chain")
    names = ["=cmd()", "<script>alert(1)<", "x" * 200, "D受容体" * 16, "𠀀" * 60, "β & 'γ' \"δ\""]
    paths = []
    for name in names:
        paths.append(base / f"{name}.h5ad")
        fitted[::2].copy().write_h5ad(paths[-1])
    out = base / "out"
    pages = sg.report.pcl_correlation(
        paths, out, n_splits=0, n_boot=5, n_perm=5, date=None, n_jobs=1, progress=False
    )
    return names, out, pages


def test_every_input_gets_a_folder_of_its_own_below_out(chain):
    names, out, pages = chain
    assert len({page.parent for page in pages}) == len(names)
    for page in pages:
        assert page.is_file()
        assert page.parent.parent == out
        assert len(page.parent.name.encode()) <= 255
        assert not re.search(r"[<>&'\"=()/\s]", page.parent.name)


@pytest.mark.parametrize("name", ["𠀀" * 100, "../../etc/passwd", "..", "", "a/../b", "\\x\n<y>"])
def test_no_name_leads_out_of_the_folder_or_is_too_long_for_it(name):
    folder = folder_name(name)
    assert 0 < len(folder.encode()) <= 255
    assert not set(folder) & set("/\\<>\n")
    assert folder.strip(".")


def test_names_come_back_from_the_fitted_file(chain, hostile):
    _, _, pages = chain
    for page in pages[:2]:
        read = ad.read_h5ad(page.parent / "fitted.h5ad")
        assert set(sg.get.code_correlation(read).index) == set(hostile)
        assert set(read.obs["svqvae"]) <= set(hostile)


def test_names_come_back_from_every_table_and_none_is_a_formula(chain, hostile):
    _, out, pages = chain
    for path in [*pages[0].parent.glob("*.csv"), out / "index.csv"]:
        cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False)
        assert not [c for c in cells.to_numpy().ravel() if c.startswith(("=", "@", "+"))]
    pairs = pd.read_csv(pages[0].parent / "pairs.csv")
    assert {n.removeprefix("'") for n in [*pairs["class_a"], *pairs["class_b"]]} == set(hostile)


def test_pictures_are_drawings_with_the_names_as_text(chain, hostile):
    _, _, pages = chain
    html = pages[0].read_text(encoding="utf-8")
    coded = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", html)
    drawn = [ET.fromstring(base64.b64decode(c)) for c in coded]
    assert len(drawn) == 5
    for picture in drawn:
        assert picture.tag == f"{SVG}svg"
        assert {e.tag for e in picture.iter()}.isdisjoint({f"{SVG}script", f"{SVG}foreignObject"})
        assert not [n for e in picture.iter() for n in e.attrib if n.startswith("on")]
    heatmap, graph = ({"".join(e.itertext()) for e in d.iter(f"{SVG}text")} for d in drawn[:2])
    for name in hostile:
        assert name in heatmap or (len(name) > 40 and name[:20] in " ".join(heatmap))
        assert name in graph or name[:12] in " ".join(graph)


def test_the_index_names_inputs_as_they_are(chain):
    names, out, _ = chain
    html = (out / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;" in html
    listed = pd.read_csv(out / "index.csv").iloc[:, 0]
    assert {n.removeprefix("'") for n in listed} == set(names)
