"""Manifests -> files: a mirror first, then the cache, then the data set's own source."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sigilla.datasets._manifests import manifest as manifest_of
from sigilla.errors import FileError, unknown_name
from sigilla.logging import logger
from sigilla.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sigilla.datasets._manifests import DataFile, Manifest

_BLOCK = 2**20
_CHUNK = 2**16  # of a broken download, less than one is lost
_NO_RANGE = 416
_OFFLINE = "no connection"
# (path, bytes, time of change) of files already verified: large files are hashed once a process.
_verified: set[tuple[str, int, int]] = set()


def fetch(
    name: str, *, files: Sequence[str] | None = None, progress: bool | None = None
) -> dict[str, Path]:
    """Paths of a data set's files, downloaded where they are not at hand, each one verified.

    A file is looked for in ``settings.mirror`` (a folder is used in place; a URL base is
    downloaded from), then in ``settings.cache_dir``, then at its published source. An interrupted
    download resumes where the checksum is known and starts again where it is not; a file appears
    under its name only when it is whole. Where no checksum is known, the log says so once and
    the computed one is recorded beside the file and held against it from then on.

    Parameters
    ----------
    name
        A data set of :func:`available`.
    files
        Names of files; by default those that :func:`load` reads, which for a GEO series are the
        level-5 matrix and its annotation, not the tens of files and terabytes of raw data.
    progress
        ``True``/``False`` forces a bar on or off; ``None`` follows ``settings.progress``.

    Returns
    -------
    Path of each file by its name.

    Raises
    ------
    ValueError
        The data set or a file is unknown.
    FileError
        A file cannot be had (the message says how to place it by hand), the disk is too small, or
        its content is not what was published.

    Examples
    --------
    >>> import sigilla as sg
    >>> paths = sg.datasets.fetch("leukemia")  # doctest: +SKIP
    """
    manifest = manifest_of(name)
    if files is None:
        needed = wanted(manifest)
        return {file.name: fetch_file(manifest, file, progress, needed) for file in needed}
    if isinstance(files, str):
        raise TypeError(f"files={files!r} must be a list of names: files=[{files!r}]")
    known = {file.name: file for file in manifest.files}
    for file_name in files:
        if file_name not in known:
            raise ValueError(unknown_name("files", file_name, known))
    return {file_name: fetch_file(manifest, known[file_name], progress) for file_name in files}


def wanted(manifest: Manifest) -> tuple[DataFile, ...]:
    """What loading needs: the converted file where a mirror holds it, else the published ones."""
    converted = manifest.converted
    if converted is not None and (locate(manifest, converted) or not manifest.needed):
        return (converted,)
    return manifest.needed


def fetch_file(
    manifest: Manifest,
    file: DataFile,
    progress: bool | None = None,
    needed: Sequence[DataFile] = (),
) -> Path:
    """Path of one file, verified; offline, the error names all files that are needed with it."""
    found = _find(manifest, file)
    if found is not None:
        return found
    target = cached(manifest, file)
    _check_room(file, target)
    attempts = []
    for url in _urls(file):
        try:
            return _download(url, target, file, progress)
        except OSError as error:
            attempts.append(f"{url}: {_cause(error)}")
    offline = bool(attempts) and all(said.endswith(_OFFLINE) for said in attempts)
    others = [other for other in needed if offline and locate(manifest, other) is None]
    raise FileError(_how_to_place(manifest, file, others, attempts))


def cached(manifest: Manifest, file: DataFile) -> Path:
    """Where the cache keeps a file."""
    return Path(settings.cache_dir) / manifest.name / file.name


def locate(manifest: Manifest, file: DataFile) -> Path | None:
    """The file in a mirror folder or in the cache, not yet verified."""
    mirror = settings.mirror
    if mirror is not None and "://" not in str(mirror):
        path = Path(mirror) / file.mirror
        if path.is_file():
            return path
    path = cached(manifest, file)
    return path if path.is_file() else None


def _find(manifest: Manifest, file: DataFile) -> Path | None:
    """The file, verified; one of other content is fetched again if it is ours and can be."""
    path = locate(manifest, file)
    if path is None:
        return None
    try:
        verify(path, file)
    except FileError as error:
        if path != cached(manifest, file) or not list(_urls(file)):
            raise
        logger.warning("%s It is fetched again.", error)
        path.unlink()
        return None
    return path


def _urls(file: DataFile) -> Iterator[str]:
    if settings.mirror is not None and "://" in str(settings.mirror):
        yield f"{str(settings.mirror).rstrip('/')}/{file.mirror}"
    if file.url is not None:
        yield file.url


# -- content -----------------------------------------------------------------------------------


def verify(path: Path, file: DataFile) -> None:
    """Raise unless the file has the published content, or the content it had when it came."""
    stamp = _stamp(path)
    if stamp in _verified:
        return
    record = path.with_name(path.name + ".sha256")
    if file.checksum is not None:
        _compare(path, file, file.checksums)
    elif record.is_file():
        _compare(path, file, [record.read_text().strip()])
    else:
        _compare(path, file, [])
        computed = digest(path, "sha256")
        logger.warning("No checksum was published for %s; this one has %s.", file.name, computed)
        if path.is_relative_to(settings.cache_dir):
            record.write_text(computed + "\n")
    _verified.add(stamp)


def _compare(path: Path, file: DataFile, checksums: Sequence[str]) -> None:
    size = path.stat().st_size
    short = file.bytes is not None and file.repacked is None and size != file.bytes
    if short or (checksums and not any(digest(path, c.partition(":")[0]) == c for c in checksums)):
        of = "" if file.bytes is None else f" of {file.bytes:,}"
        wanted = f" and its checksum is not {' or '.join(checksums)}" if checksums else ""
        raise FileError(
            f"{path} is not the file {file.name} that was published: it has {size:,} bytes{of}"
            f"{wanted}."
        )


def _stamp(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def digest(path: Path, algorithm: str) -> str:
    """``algorithm:hex`` of a file's content."""
    # Checksums here find damage; the strongest one that was published is used.
    total = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            total.update(block)
    return f"{algorithm}:{total.hexdigest()}"


# -- download ----------------------------------------------------------------------------------


def _download(url: str, target: Path, file: DataFile, progress: bool | None) -> Path:
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(target)
    # Two processes that want the same file must not write into one part at a time.
    with FileLock(f"{part}.lock"):
        if not target.is_file():
            if file.checksum is None:  # nothing would tell a part of another version
                part.unlink(missing_ok=True)
            _complete(url, part, file, progress)
            part.replace(target)
            if file.checksum is not None:
                _verified.add(_stamp(target))
        verify(target, file)
    return target


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _size(part: Path) -> int:
    """Bytes of it; 0 where there is none, or where another thread has just made it the file."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _complete(url: str, part: Path, file: DataFile, progress: bool | None) -> None:
    """Bring ``part`` to the published content, from where it stands or else from the start."""
    from requests import HTTPError

    resumed = part.is_file()
    try:
        _transfer(url, part, progress)
        _compare(part, file, file.checksums)
    except (FileError, HTTPError) as error:
        # The server may ignore the range asked for or find it empty, or the part be of another
        # version; any other failure of the network leaves the part for the next try.
        if isinstance(error, HTTPError) and error.response.status_code != _NO_RANGE:
            raise
        part.unlink(missing_ok=True)
        if not resumed:
            raise
        _complete(url, part, file, progress)


def _transfer(url: str, part: Path, progress: bool | None) -> None:
    """Append to ``part`` what it lacks; what has come stays there if the connection breaks."""
    from pooch import HTTPDownloader

    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    download = HTTPDownloader(_shows(progress), chunk_size=_CHUNK, headers=headers)
    try:
        with part.open("ab") as stream:
            download(url, stream, None)
    finally:
        if not part.stat().st_size:
            part.unlink()


def _shows(progress: bool | None) -> bool:
    if progress is None:
        progress = settings.progress
    return sys.stderr.isatty() if progress is None else progress


def _check_room(file: DataFile, target: Path) -> None:
    if file.bytes is None:
        return
    folder = next(parent for parent in target.parents if parent.exists())
    free = shutil.disk_usage(folder).free + _size(_part(target))
    if file.bytes > free:
        raise FileError(
            f"{file.name} has {file.bytes / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left; "
            "point sg.settings.cache_dir (SIGILLA_CACHE) to a larger disk"
        )


def _cause(error: OSError) -> str:
    """What went wrong; where there is no network, libraries say so in seven hundred characters."""
    from requests import ConnectionError as NoConnection
    from urllib3.exceptions import MaxRetryError

    # A transfer that breaks is a ConnectionError too, and is to be tried again.
    never = type(error) is NoConnection and isinstance(error.args[0], MaxRetryError)
    return _OFFLINE if never else str(error)


def _how_to_place(
    manifest: Manifest, file: DataFile, others: Sequence[DataFile], attempts: Sequence[str]
) -> str:
    tried = "".join(f"\n  tried {attempt}" for attempt in attempts) or (
        "\n  no address of the file itself is known"
    )
    missing = [file, *(other for other in others if other.name != file.name)]
    bring = ",".join(f"\n  {f.url or manifest.homepage} to {cached(manifest, f)}" for f in missing)
    names = ", ".join(f.mirror for f in missing)
    return (
        f"{file.name} of data set {manifest.name!r} is not at hand and could not be fetched.{tried}"
        f"\nBring by hand:{bring}\nor set sg.settings.mirror (SIGILLA_MIRROR) to a folder that "
        f"has {names}."
    )
