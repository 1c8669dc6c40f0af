"""Reading GCTX: sigilla beside cmapPy, in one run.

    python benchmarks/reading.py [--quick] [--repeats 5] [--only narrow] [--keep FOLDER]

Makes its files (7 GB) in a temporary folder and writes benchmarks/results/reading.md. Times are of
two long-lived processes that take turns on the same file; what they return is compared first.
Peak memory is that of a fresh process during the read, above what it held just before, imports
and a small read done. Cold reads drop the file from the page cache first.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import hashlib
import mmap
import multiprocessing
import os
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import dask.array as da
import deflate
import h5py
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from _memory import forget_peak, have_at_hand, resident
from _spread import spread

OUT = Path(__file__).parent / "results" / "reading.md"
WIDE, NARROW = 12_328, 978
MATRIX = "/0/DATA/0/matrix"
MIB = 2**20
# What a prototype reached on another machine of two cores, by file and read: the figures to meet.
GOALS = {
    "wide rows": 4.9,
    "wide columns": 3.8,
    "wide both": 6.1,
    "narrow rows": 5.5,
    "narrow columns": 14.5,
    "narrow both": 4.3,
    "narrow metadata": 8.0,
    "gzip rows": 3.3,
    "gzip columns": 3.3,
    "gzip both": 3.3,
    "million metadata": 10.0,
}


@dataclass(frozen=True)
class Case:
    """One read: which file, which genes, which signatures, cold or warm."""

    file: str
    kind: str
    path: str
    rid: tuple[str, ...] | None = None
    cid: tuple[str, ...] | None = None
    cold: bool = False

    @property
    def name(self) -> str:
        return f"{self.file} {self.kind}" + (" cold" if self.cold else "")


# ------------------------------------------------------------------- inside a worker process


def read(tool: str, case: Case) -> Any:
    rid, cid = (None if ids is None else list(ids) for ids in (case.rid, case.cid))
    if tool == "cmapPy":
        from sigilla.io import _cmappy

        if case.kind == "metadata":
            return [_cmappy.parse(case.path, **{f"{a}_meta_only": True}) for a in ("row", "col")]
        return _cmappy.parse(case.path, rid=rid, cid=cid)
    import sigilla as sg

    return sg.io.read_gctx(case.path, rid=rid, cid=cid, backed=case.kind == "metadata")


def timed(tool: str, case: Case, at_hand: int) -> tuple[float, float]:
    """Seconds by the clock and of the processors, so many bytes being at hand."""
    gc.collect()
    have_at_hand(at_hand)
    if case.cold:
        drop_from_cache(case.path)
    wall, cpu = time.perf_counter(), time.process_time()
    result = read(tool, case)
    took = time.perf_counter() - wall, time.process_time() - cpu
    del result
    return took


def digest(tool: str, case: Case) -> str:
    """Of the values, the ids and the columns of text, in one order for both tools."""
    result = read(tool, case)
    frames, x = parts(result)
    found = hashlib.blake2b()
    for frame in frames:
        text = frame.select_dtypes("object").fillna("").sort_index(axis=1)
        found.update(",".join(text.columns).encode())
        found.update(pd.util.hash_pandas_object(text).to_numpy().tobytes())
    if x is not None:
        found.update(np.ascontiguousarray(x))
    return found.hexdigest()


def parts(result: Any) -> tuple[list[pd.DataFrame], Any]:
    """The metadata of genes and signatures, and the matrix, signatures x genes."""
    if isinstance(result, list):
        return result, None
    if isinstance(result, ad.AnnData):
        return [result.var, result.obs], result.X if isinstance(result.X, np.ndarray) else None
    frames = [result.row_metadata_df, result.col_metadata_df]
    return frames, result.data_df.to_numpy().T


def peak_mib(tool: str, case: Case, small: Case) -> tuple[float, float]:
    """Peak resident memory of the read above that before it, and the size of its result."""
    read(tool, replace(small, kind=case.kind))  # whatever is loaded on first use
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    result = read(tool, case)
    peak = resident("VmHWM") - before
    frames, x = parts(result)
    size = 0 if x is None else x.nbytes
    for frame in frames:
        columns = [frame.index, *(frame[n] for n in frame.select_dtypes("object"))]
        objects = {id(v): v for column in columns for v in column.to_numpy()}
        size += int(frame.memory_usage().sum()) + sum(map(sys.getsizeof, objects.values()))
    return peak / MIB, size / MIB


def drop_from_cache(path: str) -> None:
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            pages = np.frombuffer(mapped, np.uint8)
            held = np.zeros(-(-len(pages) // mmap.PAGESIZE), np.uint8)
            address, count = ctypes.c_void_p(pages.ctypes.data), ctypes.c_size_t(len(pages))
            ctypes.CDLL(None).mincore(address, count, ctypes.c_void_p(held.ctypes.data))
            del pages
    if held.mean() > 0.01:
        raise RuntimeError(f"{held.mean():.0%} of {path} stay in the page cache: no cold reads")


# ---------------------------------------------------------------------------------- the files


def make_file(path: Path, n: int, genes: int) -> str:
    """A level-5 look-alike: sixteen metadata columns, values with four decimals."""
    from sigilla.io import write_gctx
    from sigilla.io._gctx_write import BLOCK_BYTES

    rng = np.random.default_rng(0)
    obs = pd.DataFrame(index=pd.Index(signature_ids(n)))
    for j, count in enumerate([10, 70, 500, 2000, 20_000]):
        names = np.array([f"value_{j}_{i}" for i in range(count)], dtype=object)
        for copy in range(3):
            obs[f"text_{j}_{copy}"] = names[rng.integers(count, size=n)]
    obs["quality"] = rng.random(n)
    var = pd.DataFrame({"pr_gene_symbol": [f"G{i}" for i in range(genes)]})
    var.index = [str(1000 + i) for i in range(genes)]
    rows = max(1, BLOCK_BYTES // (4 * genes))  # as write_gctx asks for them
    x = da.random.default_rng(0).standard_normal((n, genes), chunks=(rows, genes))
    write_gctx(ad.AnnData(x.round(4).astype("float32"), obs=obs, var=var), path)
    return str(path)


def signature_ids(n: int) -> list[str]:
    return [f"CPC{i % 300:03d}_A375_24H:BRD-K{i:08d}:10" for i in range(n)]


def gzip_copy(source: str, path: Path) -> str:
    """The same file with its matrix in chunks of 1 MiB at gzip level 1, packed on all cores."""
    with h5py.File(source) as old, h5py.File(path, "w") as new, ThreadPoolExecutor() as pool:
        new.attrs.update(old.attrs)
        old.copy("/0/META", new, "/0/META")
        x = old[MATRIX]
        height = MIB // (x.shape[1] * x.dtype.itemsize)
        chunks = (height, x.shape[1])
        y = new.create_dataset(
            MATRIX, x.shape, x.dtype, chunks=chunks, compression="gzip", compression_opts=1
        )

        def packed(start: int) -> tuple[int, bytes]:
            block = np.zeros(chunks, x.dtype)
            stored = x[start : start + height]
            block[: len(stored)] = stored
            return start, zlib.compress(block, 1)

        for start, raw in pool.map(packed, range(0, len(x), height)):
            y.id.write_direct_chunk((start, 0), raw)
    return str(path)


def cases(folder: Path, wide: int, narrow: int, million: int, only: str) -> list[Case]:
    def path(name: str, n: int, genes: int) -> str:
        file = folder / f"{name}.gctx"
        if file.exists():
            return str(file)
        return (
            gzip_copy(path("wide", n, genes), file) if name == "gzip" else make_file(file, n, genes)
        )

    found = []
    for file, n, genes, share in (
        ("wide", wide, WIDE, 10),
        ("narrow", narrow, NARROW, 10),
        ("million", million, NARROW, 1000),
        ("gzip", wide, WIDE, 10),
    ):
        rng = np.random.default_rng(1)
        some = np.sort(rng.permutation(genes)[: NARROW if genes == WIDE else genes // 10])
        rid = tuple(str(1000 + i) for i in some.tolist())
        every = signature_ids(n)
        cid = tuple(every[i] for i in np.sort(rng.permutation(n)[: n // share]).tolist())
        reads = {
            "rows": Case(file, "rows", "", rid=rid),
            "columns": Case(file, "columns", "", cid=cid),
            "both": Case(file, "both", "", rid=rid, cid=cid),
            "metadata": Case(file, "metadata", ""),
            "all": Case(file, "all", ""),
        }
        kinds = {
            "wide": ["rows", "columns", "both", "all"],
            "narrow": ["rows", "columns", "both", "metadata"],
            "million": ["metadata", "columns"],
            "gzip": ["rows", "columns", "both"],
        }[file]
        chosen = [reads[kind] for kind in kinds]
        if file == "wide":
            chosen += [Case(**vars(reads[k]) | {"cold": True}) for k in ("rows", "columns")]
        chosen = [case for case in chosen if only in case.name]
        if chosen:
            where = path(file, n, genes)
            found += [Case(**vars(case) | {"path": where}) for case in chosen]
    return found


# ----------------------------------------------------------------------------- the machine


def limits(wide: str, packed: str | None) -> list[str]:
    """What the machine gives at best: copies, reads and unpacking, on one thread and on two."""
    source = np.ones(32 * MIB, np.uint8)
    n_bytes = 512 * MIB
    readable = min(n_bytes, Path(wide).stat().st_size // (MIB // 2) * (MIB // 2))

    def copy(_: int) -> None:
        target = np.empty_like(source)
        for _ in range(n_bytes // MIB // 32):
            np.copyto(target, source)

    def fetch(_: int) -> None:
        buffer = bytearray(MIB // 2)
        with Path(wide).open("rb", buffering=0) as file:
            for _ in range(readable // len(buffer)):
                file.readinto(buffer)

    lines = ["| limit, MB/s | 1 thread | 2 threads |", "|---|---|---|"]
    lines.append(f"| copy in memory | {rates(copy, n_bytes)} |")
    lines.append(f"| read from the page cache | {rates(fetch, readable)} |")
    if packed:
        with h5py.File(packed) as file:
            x = file[MATRIX]
            size = x.chunks[0] * x.chunks[1] * 4
            count = min(50, len(x) // x.chunks[0])
            raws = [x.id.read_direct_chunk((i * x.chunks[0], 0))[1] for i in range(count)]
            begin = time.perf_counter()
            x[: count * x.chunks[0]]
            serial = size * count / (time.perf_counter() - begin) / 1e6
        lines.append(f"| unpack, HDF5 | {serial:,.0f} | cannot |")
        for name, unpack in (
            ("zlib", lambda raw: zlib.decompress(raw, bufsize=size)),
            ("libdeflate", lambda raw: deflate.zlib_decompress(raw, size)),
        ):
            rate = rates(lambda _, unpack=unpack: [unpack(raw) for raw in raws], size * count)
            lines.append(f"| unpack, {name} | {rate} |")
    with contextlib.suppress(RuntimeError):
        drop_from_cache(wide)
        lines.append(f"| read from the disk | {rates(fetch, readable, once=True)} | |")
    return lines


def rates(work: Any, n_bytes: int, *, once: bool = False) -> str:
    found = []
    for threads in (1,) if once else (1, 2):
        best = 0.0
        for _ in range(1 if once else 3):
            with ThreadPoolExecutor(threads) as pool:
                begin = time.perf_counter()
                list(pool.map(work, range(threads)))
                best = max(best, threads * n_bytes / (time.perf_counter() - begin) / 1e6)
        found.append(f"{best:,.0f}")
    return " | ".join(found)


# --------------------------------------------------------------------------------- the table


def measure(case: Case, small: Case, workers: dict[str, Any], repeats: int) -> str:
    found = {tool: pool.apply(digest, (tool, case)) for tool, pool in workers.items()}
    if len(set(found.values())) > 1:
        raise RuntimeError(f"{case.name}: the two do not return the same")
    peaks, size = {}, 0.0
    for tool in ("cmapPy", "sigilla"):
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            peaks[tool], size = fresh.apply(peak_mib, (tool, case, small))
    times: dict[str, list[tuple[float, float]]] = {tool: [] for tool in workers}
    at_hand = int(max(peaks.values()) * MIB)
    for _ in range(repeats):
        for tool, pool in workers.items():
            times[tool].append(pool.apply(timed, (tool, case, at_hand)))
    wall, cpu = (
        [b[i] / a[i] for a, b in zip(times["sigilla"], times["cmapPy"], strict=True)]
        for i in (0, 1)
    )
    goal = GOALS.get(case.name)
    cells = [case.name, *(spread([t[0] for t in times[tool]], ".3f") for tool in workers)]
    cells += [f"**{spread(wall, '.1f')}**", f"{goal or ''}", spread(cpu, ".1f")]
    cells += [f"{peaks[tool]:,.0f}" for tool in workers]
    cells += [f"{size:,.0f}", f"{peaks['sigilla'] - size:+.0f}"]
    return "| " + " | ".join(cells) + " |"


def header(options: argparse.Namespace) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        "# Reading GCTX",
        "",
        (
            f"`python benchmarks/reading.py{' --quick' if options.quick else ''}`: "
            f"{os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the "
            f"start; min / median / max of {options.repeats} interleaved repeats. wide: "
            f"{WIDE:,} genes x {options.wide:,} signatures; narrow: {NARROW} x "
            f"{options.narrow:,}; million: {NARROW} x {options.million:,}; gzip: wide in chunks "
            "of 1 MiB at level 1. rows: 978 genes of the wide, a tenth of the narrow; columns: a "
            "tenth of the signatures (million: a thousandth). Each with its metadata, 16 columns. "
            "Before each read, the greater of the two peaks of memory is touched and let go of. "
            "Peak MiB is above what a fresh process holds after its imports and a small read; "
            "result MiB is sigilla's matrix, ids and metadata."
        ),
        "",
        (
            "| read | sigilla s | cmapPy s | times faster | to reach | times less CPU "
            "| sigilla peak MiB | cmapPy peak MiB | result MiB | above result |"
        ),
        "|" + "---|" * 10,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small files, three repeats")
    parser.add_argument("--wide", type=int, help="signatures of 12,328 genes [20000]")
    parser.add_argument("--narrow", type=int, help="signatures of 978 genes [120000]")
    parser.add_argument("--million", type=int, help="signatures of the file over 4 GB [1200000]")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--keep", type=Path, help="folder for the files, which then stay there")
    parser.add_argument("--out", type=Path, default=OUT, help="where the table goes [%(default)s]")
    options = parser.parse_args()
    for name, whole, quick in (
        ("wide", 20_000, 4000),
        ("narrow", 120_000, 20_000),
        ("million", 1_200_000, 100_000),
        ("repeats", 5, 3),
    ):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else whole)
    lines = header(options)
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as name,
        context.Pool(1) as ours,
        context.Pool(1) as theirs,
    ):
        folder = options.keep or Path(name)
        small = Case("small", "all", make_file(Path(name) / "small.gctx", 50, 20))
        found = cases(folder, options.wide, options.narrow, options.million, options.only)
        # What is still on its way to the disk would be timed with the first reads.
        os.sync()
        print("\n".join(lines), flush=True)
        for case in found:
            workers = {"sigilla": ours, "cmapPy": theirs}
            lines.append(measure(case, small, workers, options.repeats))
            print(lines[-1], flush=True)
        files = {case.file: case.path for case in found}
        lines += ["", *limits(files.get("wide", found[0].path), files.get("gzip"))]
    print("\n".join(lines[-8:]))
    options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
