"""Reading GCTX: the Connectivity Map's matrices in HDF5."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np

from sigilla.errors import DataError, FileError, listed
from sigilla.io._axis import Pending, given, node, stored, what_is_strange
from sigilla.io._ids import Ids
from sigilla.io._lazy import lazy_matrix
from sigilla.io._matrix import read_matrix
from sigilla.io._tasks import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from numpy.typing import DTypeLike, NDArray

    Index = NDArray[np.intp]

MATRIX = "/0/DATA/0/matrix"
ROW = "/0/META/ROW"
COL = "/0/META/COL"
ROW_ID, COL_ID = f"{ROW}/id", f"{COL}/id"

_UNIQUE = Lock()  # anndata's settings are the whole process's


def read_gctx(
    path: str | Path,
    *,
    rid: Iterable[object] | None = None,
    cid: Iterable[object] | None = None,
    backed: bool = False,
    dtype: DTypeLike | None = "float32",
) -> ad.AnnData:
    """Read a GCTX file: signatures x genes, metadata in ``obs`` and ``var``.

    Any rows and columns are read in any order, and only the parts of the file that hold them (with
    gaps of up to 128 KiB, which are faster read than sought over).
    Memory stays within the result plus some tens of megabytes.

    Parameters
    ----------
    path
        The ``.gctx`` file. One still packed as ``.gctx.gz`` has to be unpacked first.
    rid
        Ids of the genes (rows, in the terms of the format) to read, in the order wanted;
        all, in the order of the file, by default.
    cid
        Ids of the signatures (columns) to read, likewise.
    backed
        Leave the matrix on disk. ``X`` is then a dask array; the file is opened for each block
        that a computation asks for and closed after it, so there is nothing to close, and the
        AnnData can be pickled and sent to other processes that see the file.
    dtype
        Type of ``X``. GCTX files hold ``float32`` nearly always; where one holds ``float64`` or
        integers they are converted, as cmapPy does. ``None`` keeps what the file has.

    Returns
    -------
    AnnData
        ``obs_names`` are the signature ids and ``var_names`` the gene ids, both as text.
        Metadata columns of bytes are decoded, text that is all numbers becomes numbers, and the
        format's ``-666`` becomes missing (NaN).

    Raises
    ------
    FileError
        The file is missing, packed, truncated, damaged, or not a GCTX file.
    DataError
        Ids are unknown or repeated, in the file or in what was asked.

    References
    ----------
    Enache et al. 2019, Bioinformatics 35(8): 1427-1429 (the format).

    Examples
    --------
    >>> import tempfile, anndata, numpy as np, pandas as pd, sigilla as sg
    >>> adata = anndata.AnnData(
    ...     np.arange(6, dtype="float32").reshape(2, 3),
    ...     obs=pd.DataFrame({"cell_id": ["A375", "MCF7"]}, index=["s1", "s2"]),
    ...     var=pd.DataFrame(index=["780", "7849", "2978"]),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sg.io.write_gctx(adata, f"{folder}/small.gctx")
    ...     sg.io.read_gctx(f"{folder}/small.gctx", rid=["2978", "780"]).to_df()
        2978  780
    s1   2.0  0.0
    s2   5.0  3.0
    """
    with open_gctx(path) as file:
        rows, cols = file.cid.positions(cid), file.rid.positions(rid)
        return file.adata(rows, cols, backed=backed, dtype=dtype)


@dataclass(frozen=True)
class Gctx:
    """An open GCTX file whose layout has been checked."""

    path: Path
    matrix: h5py.Dataset
    cid: Ids
    rid: Ids

    def obs(self, rows: Index | None = None) -> Pending:
        """What the file says of the signatures at ``rows``."""
        return stored(self.matrix.file[COL], self.cid, rows)

    def var(self, cols: Index | None = None) -> Pending:
        """What the file says of the genes at ``cols``."""
        return stored(self.matrix.file[ROW], self.rid, cols)

    def adata(
        self,
        rows: Index | None,
        cols: Index | None,
        *,
        backed: bool,
        dtype: DTypeLike | None,
        obs: pd.DataFrame | None = None,
        var: pd.DataFrame | None = None,
    ) -> ad.AnnData:
        """The signatures at ``rows`` and genes at ``cols``; ``obs``, ``var`` replace the file's."""
        kind = self.matrix.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        of_rows = self.obs(rows) if obs is None else given(obs, rows)
        of_cols = self.var(cols) if var is None else given(var, cols)
        # The first of either names its axis, and finds out whether the ids are unique.
        first = [*of_rows.tasks[:1], *of_cols.tasks[:1]]
        tasks = [*first, *of_rows.tasks[1:], *of_cols.tasks[1:]]
        if backed:
            run_all(tasks)
            x: Any = lazy_matrix(self.path, self.matrix, rows, cols, kind)
        else:
            x = read_matrix(self.matrix, rows, cols, kind, beside=tasks)
        found_obs, found_var = of_rows.frame(), of_cols.frame()
        # That the ids are unique was found out by Ids, and much faster.
        with _UNIQUE, ad.settings.override(check_uniqueness=False):
            return ad.AnnData(x, obs=found_obs, var=found_var)


@contextmanager
def open_gctx(path: str | Path) -> Iterator[Gctx]:
    """Open a GCTX file and check its layout; damage met while it is open is a FileError too."""
    path = Path(path).expanduser()
    check_is_hdf5(path)
    try:
        with h5py.File(path, "r") as file:
            yield _checked(path, file)
    except (DataError, FileError):
        raise
    except BlockingIOError as error:
        raise FileError(
            f"path={str(path)!r} is being written by another program; try again when that is done"
        ) from error
    except (OSError, RuntimeError) as error:
        raise FileError(
            f"path={str(path)!r} is damaged or incomplete. Fetch or copy it again and "
            "compare its size with the source."
        ) from error


def check_is_hdf5(path: Path) -> None:
    """Raise a FileError that says what a file that is not HDF5 is instead."""
    if not path.exists():
        raise FileError(f"path={str(path)!r} does not exist.")
    if path.is_dir():
        raise FileError(f"path={str(path)!r} is a folder; name the .gctx file in it.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise FileError(f"path={str(path)!r} cannot be read: {error}") from error
    if head[:2] == b"\x1f\x8b":
        raise FileError(
            f"path={str(path)!r} is compressed with gzip, which allows no access by block. Unpack "
            f"it once with: gunzip -k {quoted(path)}"
        )
    if head.startswith((b"#1.2", b"#1.3")):
        raise FileError(f"path={str(path)!r} is a GCT text file; use sigilla.io.read_gct.")
    if not h5py.is_hdf5(path):
        kind = "empty" if not head else "text" if b"\0" not in head else "some other binary format"
        hint = " A matrix of text is read by sigilla.io.read_table." if kind == "text" else ""
        raise FileError(
            f"path={str(path)!r} is not a GCTX (HDF5) file: its content is {kind}.{hint}"
        )


def quoted(path: Path) -> str:
    """The path as a shell takes it."""
    import shlex

    return shlex.quote(str(path))


def _checked(path: Path, file: h5py.File) -> Gctx:
    matrix, cid, rid = (_dataset(file, name) for name in (MATRIX, COL_ID, ROW_ID))
    if matrix is None or cid is None or rid is None:
        missing = [name for name in (MATRIX, COL_ID, ROW_ID) if _dataset(file, name) is None]
        if "obs" in file:
            hint = "It looks like an .h5ad file: use anndata.read_h5ad."
        elif others := [name for name in missing if name in file]:
            hint = f"{listed(others)} is a group there, or a link to nothing."
        else:
            hint = f"At the top it has {listed(file)}."
        raise FileError(
            f"path={str(path)!r} is HDF5 but not GCTX: it has no dataset {listed(missing)}. {hint}"
        )
    for name, dataset in ((MATRIX, matrix), (COL_ID, cid), (ROW_ID, rid)):
        if strange := what_is_strange(dataset):
            raise FileError(
                f"path={str(path)!r} is not a valid GCTX file: {name!r} holds {strange}."
            )
    fit = [cid.shape, rid.shape] == [(size,) for size in matrix.shape or ()]
    if not fit or matrix.dtype.kind not in "iufb":
        raise FileError(
            f"path={str(path)!r} is not a valid GCTX file: its matrix is {matrix.shape} of "
            f"{matrix.dtype}, its column ids are {cid.shape} of {cid.dtype}, and its row ids "
            f"{rid.shape} of {rid.dtype}."
        )
    return Gctx(path, matrix, Ids.of(cid, path, "cid"), Ids.of(rid, path, "rid"))


def _dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    found = node(file, name) if name in file else None
    return found if isinstance(found, h5py.Dataset) else None
