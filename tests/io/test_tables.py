"""read_table and read_single_cell: whatever the layout, samples x genes."""

from __future__ import annotations

import gzip
import logging

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import io as scipy_io
from scipy import sparse

from sigilla.errors import DataError, FileError
from sigilla.io import _loom, read_gmt, read_single_cell, read_table

VALUES = np.array([[1, 2.5, -3], [4, 5, 6e-3]], dtype=np.float32)  # two genes, three samples


@pytest.mark.parametrize("separator", ["\t", ",", ";", " ", "   "])
@pytest.mark.parametrize("names", ["both", "R", "none", "top", "left", "quoted"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_layout_is_recognised(tmp_path, separator, names, packed):
    rows = [[str(v) for v in row] for row in VALUES.tolist()]
    if names in {"both", "R", "left", "quoted"}:
        rows = [[gene, *row] for gene, row in zip(["TP53", "MYC"], rows, strict=True)]
    if names in {"both", "R", "top", "quoted"}:
        corner = ["gene"] if names in {"both", "quoted"} else []
        rows = [[*corner, "a", "b", "c"], *rows]
    if names == "quoted":
        rows = [[f'"{f}"' if not f[-1].isdigit() or f == "TP53" else f for f in r] for r in rows]
    text = "\n".join(separator.join(row) for row in rows) + "\n"
    path = tmp_path / "matrix.txt"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    adata = read_table(path)
    np.testing.assert_array_equal(adata.X, VALUES.T)
    samples = ["s0", "s1", "s2"] if names in {"none", "left"} else ["a", "b", "c"]
    genes = ["g0", "g1"] if names in {"none", "top"} else ["TP53", "MYC"]
    assert adata.obs_names.tolist() == samples
    assert adata.var_names.tolist() == genes


@pytest.mark.parametrize(
    ("before", "after", "newline"),
    [("", "", "\n"), (" ", "", "\n"), ("", " ", "\r\n"), ("  ", "   ", "\n")],
)
@pytest.mark.parametrize("labels", ["1\n2\n1\n", "1 2 1", '"V"\n1\n2\n1\n'])
def test_matrices_as_the_if_pca_papers_ship_them(tmp_path, before, after, newline, labels):
    # brain.x.txt: genes in rows, blanks between, no names; brain.y.txt: the class numbers.
    rows = ["1 2.5 -3", "4 5.000000e+00 6e-3"]
    x, y = tmp_path / "brain.x.txt", tmp_path / "brain.y.txt"
    x.write_bytes("".join(f"{before}{row}{after}{newline}" for row in rows).encode())
    y.write_bytes(labels.replace("\n", newline).encode())
    adata = read_table(x, labels=y)
    np.testing.assert_array_equal(adata.X, VALUES.T)
    assert adata.obs["label"].tolist() == ["1", "2", "1"]
    assert adata.obs_names.tolist() == ["s0", "s1", "s2"]


@pytest.mark.parametrize("name", ["brain", "leukemia", "lung1"])
def test_the_published_microarrays_survive_the_papers_text_form(mirror, tmp_path, name):
    known = ad.read_h5ad(mirror(f"microarray/{name}.h5ad"))
    x, y = tmp_path / f"{name}.x.txt", tmp_path / f"{name}.y.txt"
    np.savetxt(x, known.X.T, fmt="%.9g")
    classes = pd.Categorical(known.obs["label"]).codes + 1
    y.write_text("\n".join(map(str, classes)) + "\n")
    adata = read_table(x, labels=y)
    np.testing.assert_array_equal(adata.X, known.X)
    assert adata.obs["label"].astype(int).tolist() == classes.tolist()


def test_genes_in_columns_are_not_turned(tmp_path):
    path = tmp_path / "matrix.csv"
    path.write_text("sample,TP53,MYC\na,1,2\nb,3,NA\n")
    adata = read_table(path, genes="columns")
    np.testing.assert_array_equal(adata.X, [[1, 2], [3, np.nan]])
    assert adata.var_names.tolist() == ["TP53", "MYC"]


def test_repeated_gene_names_are_numbered_and_said_so(tmp_path, caplog):
    path = tmp_path / "matrix.csv"
    path.write_text("gene,a,b\nMYC,1,2\nMYC,3,4\n")
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        assert read_table(path).var_names.tolist() == ["MYC", "MYC-1"]
    assert "1 names are repeated" in caplog.text


@pytest.fixture
def matrix(tmp_path):
    path = tmp_path / "matrix.csv"
    path.write_text("gene,a,b,c\nTP53,1,2,0\nMYC,4,5,6\n")
    return path


@pytest.mark.parametrize(
    "labels",
    [
        ["x", "y x", "x"],
        np.array(["x", "y x", "x"]),
        {"c": "x", "b": "y x", "a": "x"},
        pd.Series(["x", "x", "y x"], index=["c", "a", "b"]),
        pd.DataFrame({"id": ["c", "a", "b"], "cell_type": ["x", "x", "y x"], "other": 1}),
        "x\ny x\nx\n",
        "label\nx\ny x\nx\n",
        "sample\tlabel\nc\tx\nb\ty x\na\tx\n",
        "x\ty x\tx\n",
    ],
    ids=["list", "array", "dict", "series", "frame", "lines", "titled", "table", "one line"],
)
def test_labels_come_by_name_or_by_position(matrix, tmp_path, labels):
    if isinstance(labels, str):
        path = tmp_path / "labels.txt"
        path.write_text(labels.replace("x\ty x", "x\ty_x") if labels.count("\n") == 1 else labels)
        labels = path
    found = read_table(matrix, labels=labels).obs["label"]
    assert [v.replace("_", " ") for v in found] == ["x", "y x", "x"]
    assert found.dtype == "category"


def test_a_sample_without_label_has_none(matrix, caplog):
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        adata = read_table(matrix, labels={"a": 1, "b": 2})
    assert adata.obs["label"].astype(object).fillna("").tolist() == ["1", "2", ""]
    assert "1 of 3 observations have none" in caplog.text


@pytest.mark.parametrize("text", ["", "NA", "NaN", "nan", "None", "<NA>", "-666"])
def test_a_label_that_says_missing_is_no_class(matrix, text):
    adata = read_table(matrix, labels=["x", text, "y"])
    assert adata.obs["label"].cat.categories.tolist() == ["x", "y"]
    assert adata.obs["label"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (["x"], DataError, "1 entries for 3 observations"),
        ({"z": "x"}, DataError, "1 entries for 3 observations"),
        ({"a": None}, DataError, "none of them"),
        ("no_such_file", FileError, "neither a file nor a column"),
        (pd.DataFrame({"id": list("abc"), "p": 1, "q": 2}), DataError, "labels has the columns"),
    ],
)
def test_labels_that_do_not_fit_are_refused(matrix, labels, error, message):
    with pytest.raises(error, match=message):
        read_table(matrix, labels=labels)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("gene,a\nTP53,high\n", DataError, "'high', which is no number, in row 0 and column 0"),
        ("", FileError, "empty or not text"),
        ("hello world", FileError, "not a readable table"),
        ("gene,a,b\nTP53,1,2\nMYC,1,2,3,4\n", FileError, "not a readable table"),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path, text, error, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_table(path)


def test_genes_is_checked(matrix):
    with pytest.raises(DataError, match="genes='row' not found; did you mean 'rows'"):
        read_table(matrix, genes="row")


COUNTS = np.array([[5, 0, 1], [0, 7, 0]], dtype=np.float32)  # two cells, three genes


def make(kind, folder):
    genes, cells = ["Actb", "Sox2", "Actb"], ["c1", "c2"]
    if kind in {"10x folder", "10x old folder", ".mtx"}:
        old = kind == "10x old folder"
        packed = open if old else gzip.open
        scipy_io.mmwrite(folder / "matrix.mtx", sparse.csc_matrix(COUNTS.T))
        if not old:
            with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
                file.write((folder / "matrix.mtx").read_bytes())
            (folder / "matrix.mtx").unlink()
        ext = "" if old else ".gz"
        features = [
            f"E{i}\t{g}" + ("" if old else "\tGene Expression") for i, g in enumerate(genes)
        ]
        with packed(folder / f"{'genes' if old else 'features'}.tsv{ext}", "wt") as file:
            file.write("\n".join(features) + "\n")
        with packed(folder / f"barcodes.tsv{ext}", "wt") as file:
            file.write("\n".join(cells) + "\n")
        return folder if kind != ".mtx" else folder / "matrix.mtx.gz"
    if kind == "10x h5":
        path = folder / "filtered.h5"
        held = sparse.csr_matrix(COUNTS)
        with h5py.File(path, "w") as file:
            group = file.create_group("matrix")
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(held, name)
            group["shape"] = [3, 2]
            group["barcodes"] = np.array(cells, dtype="S")
            group["features/name"] = np.array(genes, dtype="S")
            group["features/id"] = np.array(["E0", "E1", "E2"], dtype="S")
            group["features/feature_type"] = np.array(["Gene Expression"] * 3, dtype="S")
            group["features/genome"] = np.array(["mm10"] * 3, dtype="S")
        return path
    if kind == "loom":  # as the format's specification lays it out, genes in rows
        path = folder / "cells.loom"
        with h5py.File(path, "w") as file:
            file.create_dataset("matrix", data=COUNTS.T, chunks=(2, 2), compression="gzip")
            file.create_dataset("layers/spliced", data=COUNTS.T.astype("u2") // 2)
            text = h5py.string_dtype()
            file.create_dataset("row_attrs/Gene", data=genes, dtype=text)
            file.create_dataset("row_attrs/Length", data=[10, 20, 30])
            file.create_dataset("col_attrs/CellID", data=cells, dtype=text)
            file.create_dataset("col_attrs/stage", data=["2-cell", "4-cell"], dtype=text)
            file.create_dataset("col_attrs/X_tsne", data=[[0.0, 1.0], [2.0, 3.0]])
            file.create_dataset("attrs/LOOM_SPEC_VERSION", data="3.0.0", dtype=text)
            file.create_group("row_graphs")
            file.create_group("col_graphs")
        return path
    if kind == "h5ad":
        path = folder / "cells.h5ad"
        adata = ad.AnnData(COUNTS, var=pd.DataFrame(index=["Actb", "Sox2", "Actb-1"]))
        adata.obs_names = cells
        adata.write_h5ad(path)
        return path
    path = folder / "cells.csv"
    lines = [",".join([g, *map(str, row)]) for g, row in zip(genes, COUNTS.T.tolist(), strict=True)]
    path.write_text("\n".join(["gene,c1,c2", *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    "kind", ["10x folder", "10x old folder", ".mtx", "10x h5", "h5ad", "loom", "csv"]
)
def test_single_cells_of_every_kind_keep_their_counts(tmp_path, kind):
    adata = read_single_cell(make(kind, tmp_path), labels=["2-cell", "4-cell"])
    assert adata.obs_names.tolist() == ["c1", "c2"]
    assert adata.var_names.tolist() == ["Actb", "Sox2", "Actb-1"]
    counts = adata.layers["counts"]
    np.testing.assert_array_equal(counts.toarray() if sparse.issparse(counts) else counts, COUNTS)
    assert adata.obs["label"].tolist() == ["2-cell", "4-cell"]
    assert counts is not adata.X


def test_loom_attributes_and_layers_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_loom, "BLOCK_BYTES", 8)  # one chunk at a time
    path = make("loom", tmp_path)
    adata = read_single_cell(path, labels="stage")
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    np.testing.assert_array_equal(adata.layers["spliced"].toarray(), COUNTS // 2)
    assert adata.var["Length"].tolist() == [10, 20, 30]
    assert adata.obsm["X_tsne"].tolist() == [[0, 1], [2, 3]]
    assert adata.obs["label"].tolist() == ["2-cell", "4-cell"]
    adata.write_h5ad(tmp_path / "kept.h5ad")
    assert ad.read_h5ad(tmp_path / "kept.h5ad").obs["stage"].tolist() == ["2-cell", "4-cell"]


def test_loom_without_names_gets_numbers(tmp_path):
    path = make("loom", tmp_path)
    with h5py.File(path, "a") as file:
        del file["row_attrs/Gene"], file["col_attrs/CellID"]
    adata = read_single_cell(path)
    assert adata.obs_names.tolist() == ["c0", "c1"]
    assert adata.var_names.tolist() == ["g0", "g1", "g2"]


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [("matrix", None, "no 'matrix'"), (None, "col_attrs/age", "'age' has shape")],
)
def test_a_damaged_loom_is_refused(tmp_path, remove, add, message):
    path = make("loom", tmp_path)
    with h5py.File(path, "a") as file:
        if remove:
            del file[remove]
        if add:
            file[add] = [1, 2, 3]
    with pytest.raises(FileError, match=message):
        read_single_cell(path)


def test_values_that_are_no_counts_are_not_called_counts(tmp_path, caplog):
    path = tmp_path / "cells.csv"
    path.write_text("gene,c1\nActb,1.5\n")
    with caplog.at_level(logging.WARNING, logger="sigilla"):
        assert "counts" not in read_single_cell(path).layers
    assert "holds no counts" in caplog.text


def test_the_label_may_be_a_column_that_is_there(tmp_path):
    path = make("h5ad", tmp_path)
    adata = ad.read_h5ad(path)
    adata.obs["stage"] = ["2-cell", "4-cell"]
    adata.write_h5ad(path)
    assert read_single_cell(path, labels="stage").obs["label"].tolist() == ["2-cell", "4-cell"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.h5ad", "does not exist"),
        ("cells.docx", "of no known kind"),
        ("broken.h5ad", "cannot be read"),
        ("broken.h5", "cannot be read"),
        ("broken.loom", "cannot be read"),
        ("folder", "not a 10x folder"),
        ("unpacked", "gzip -k"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, message):
    if name == "folder":
        (tmp_path / name).mkdir()
    elif name == "unpacked":
        (tmp_path / name).mkdir()
        (tmp_path / name / "matrix.mtx").write_text("")
    elif name != "none.h5ad":
        (tmp_path / name).write_text("not what its name says")
    with pytest.raises(FileError, match=message):
        read_single_cell(tmp_path / name)


def test_published_sets_have_counts_and_labels(mirror):
    adata = read_single_cell(mirror("single_cell/goolam.h5ad"))
    assert adata.shape == (124, 21198)
    assert adata.obs["label"].nunique() == 5
    assert "counts" in adata.layers


def test_gmt_sets_are_read_and_bad_lines_refused(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("A\tfirst\tx\ty\nB\tsecond\tz\n")
    assert read_gmt(path) == {"A": ["x", "y"], "B": ["z"]}
    path.write_text("A\tonly two\n")
    with pytest.raises(DataError, match="not a valid GMT"):
        read_gmt(path)
    with pytest.raises(FileError, match="cannot be read as GMT"):
        read_gmt(tmp_path / "none.gmt")
