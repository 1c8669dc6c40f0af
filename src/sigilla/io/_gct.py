"""Reading and writing GCT, the Connectivity Map's matrices as text (versions 1.2 and 1.3)."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from sigilla.errors import DataError, FileError
from sigilla.files import replacing
from sigilla.io._gctx_write import blocks, matrix_to_write
from sigilla.io._ids import Ids
from sigilla.io._metadata import MISSING, tidy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[Any]

# What cmapPy takes for missing in a GCT.
NULLS = frozenset(["-666", "#N/A", "N/A", "NA", "#NA", "NULL", "NaN", "-NaN", "nan", "-nan"])
NULLS |= {"#N/A!", "na", "None", "#VALUE!"}
DIMENSIONS = {"#1.2": 2, "#1.3": 4}


def read_gct(
    path: str | Path, *, rid: Iterable[object] | None = None, cid: Iterable[object] | None = None
) -> ad.AnnData:
    r"""Read a GCT file, version 1.2 or 1.3, plain or ``.gz``: signatures x genes.

    Parameters
    ----------
    path
        The ``.gct`` or ``.gct.gz`` file.
    rid, cid
        Ids of the genes (rows) and signatures (columns) wanted, in the order wanted. The whole
        text is read all the same.

    Returns
    -------
    AnnData
        float32; metadata as :func:`sigilla.io.read_gctx` gives it.

    Raises
    ------
    FileError
        The file is missing, truncated, or not GCT.
    DataError
        Ids are unknown or repeated.

    Examples
    --------
    >>> import tempfile, pathlib, sigilla as sg
    >>> lines = ["#1.2", "2 2", "Name Description s1 s2", "780 DDR1 1 2", "23 ABCF1 3 4"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "small.gct"
    ...     _ = path.write_text("\n".join(lines).replace(" ", "\t"))
    ...     sg.io.read_gct(path).to_df()
        780   23
    s1  1.0  3.0
    s2  2.0  4.0
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileError(f"path={str(path)!r} does not exist or is not a file.")
    try:
        with _open_text(path) as file:
            x, obs, var = _parse(path, file)
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise FileError(f"path={str(path)!r} is damaged or not GCT: {error}") from error
    signatures = Ids(obs.index.to_numpy(), path, "cid")
    genes = Ids(var.index.to_numpy(), path, "rid")
    signatures.check_unique()
    genes.check_unique()
    rows, cols = signatures.positions(cid), genes.positions(rid)
    if rows is not None:
        x, obs = x[rows], obs.iloc[rows]
    if cols is not None:
        x, var = np.take(x, cols, axis=1), var.iloc[cols]
    return ad.AnnData(x, obs=obs, var=var)


def _open_text(path: Path) -> IO[str]:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"\x89HDF":
        raise FileError(f"path={str(path)!r} is HDF5, as GCTX is: read it with sg.io.read_gctx")
    if start[:2] == b"\x1f\x8b":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _parse(path: Path, file: IO[str]) -> tuple[Array, pd.DataFrame, pd.DataFrame]:
    version, counts = file.readline().strip(), file.readline().split()
    if len(counts) != DIMENSIONS.get(version) or not all(n.isdigit() for n in counts):
        raise FileError(
            f"path={str(path)!r} is not GCT: it starts {version[:40]!r} and {counts[:6]}, where "
            "'#1.3' and four counts, or '#1.2' and two, are expected."
        )
    n_genes, n_signatures, n_row_fields, n_col_fields = [*map(int, counts), 1, 0][:4]
    lines = [file.readline() for _ in range(1 + n_col_fields)]
    head = list(csv.reader(lines, delimiter="\t"))
    start, width = 1 + n_row_fields, 1 + n_row_fields + n_signatures
    if any(len(line) != width for line in head) or len(head) != 1 + n_col_fields:
        raise FileError(
            f"path={str(path)!r} is truncated or not GCT: its second line promises {width} fields "
            f"in {1 + n_col_fields} header lines, found {[len(line) for line in head][:4]}."
        )
    texts, numbers = range(start), range(start, width)
    options: dict[str, Any] = {
        "dtype": dict.fromkeys(texts, str) | dict.fromkeys(numbers, np.float32),
        "na_values": dict.fromkeys(numbers, sorted(NULLS)),
    }
    body = pd.read_csv(
        file, sep="\t", header=None, keep_default_na=False, float_precision="round_trip", **options
    )
    if body.shape != (n_genes, width):
        raise FileError(
            f"path={str(path)!r} is truncated: its second line promises {n_genes} rows of {width} "
            f"fields, found {body.shape[0]} of {body.shape[1]}."
        )
    x = np.ascontiguousarray(body.iloc[:, start:].to_numpy(dtype=np.float32).T)
    obs = {line[0]: _column(line[start:]) for line in head[1:]}
    var = {head[0][i]: _column(body[i]) for i in range(1, start)}
    cid, rid = (pd.Index(list(ids), dtype=object) for ids in (head[0][start:], body[0]))
    return x, pd.DataFrame(obs, index=cid), pd.DataFrame(var, index=rid)


def _column(values: Iterable[str]) -> Array:
    return tidy(np.array(list(values), dtype=object), NULLS)


def write_gct(adata: ad.AnnData, path: str | Path, *, layer: str | None = None) -> None:
    """Write signatures x genes as GCT 1.3 text, with every digit that float32 holds.

    Parameters
    ----------
    adata
        ``obs`` and ``var`` are written too; missing values become ``-666``.
    path
        The file to write; ``.gct.gz`` is compressed. It appears when it is complete.
    layer
        The layer to write in place of ``X``.

    Raises
    ------
    FileError
        The folder does not exist or cannot be written, or the disk is full.
    DataError
        There is no matrix, or ids are repeated.

    Examples
    --------
    >>> import tempfile, anndata, numpy as np, sigilla as sg
    >>> adata = anndata.AnnData(np.ones((2, 3), dtype="float32"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.io.write_gct(adata, f"{folder}/ones.gct")
    ...     sg.io.read_gct(f"{folder}/ones.gct").shape
    (2, 3)
    """
    x = matrix_to_write(adata, layer)
    obs = {str(name): _texts(adata.obs[name]) for name in adata.obs.columns}
    var = {str(name): _texts(adata.var[name]) for name in adata.var.columns}
    with replacing(path) as part, _create_text(part, packed=Path(path).suffix == ".gz") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["#1.3"])
        writer.writerow([adata.n_vars, adata.n_obs, len(var), len(obs)])
        writer.writerow(["id", *var, *adata.obs_names])
        for name, texts in obs.items():
            writer.writerow([name, *[MISSING] * len(var), *texts])
        for gene, values in enumerate(_genes(x)):
            fields = [texts[gene] for texts in var.values()]
            writer.writerow([adata.var_names[gene], *fields, *values])


def _create_text(path: Path, *, packed: bool) -> IO[str]:
    if packed:
        return io.TextIOWrapper(gzip.open(path, "wb"), encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _genes(x: Any) -> Iterable[list[str]]:
    """Each gene's values as text; the shortest that reads back as the same number."""
    dense = (
        np.concatenate([block for _, block in blocks(x, 4096)]) if x.shape[0] else np.empty(x.shape)
    )
    for values in dense.T:
        yield ["NaN" if text == "nan" else text for text in values.astype(str).tolist()]


def _texts(column: pd.Series) -> list[str]:
    return [str(MISSING) if pd.isna(value) else str(value) for value in column]
