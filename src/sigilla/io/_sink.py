"""A new HDF5 file whose disk may fill up.

When a write fails inside HDF5, the library can no longer close the file, keeps it open, and may
bring the interpreter down at exit. So HDF5 is given a file that never fails: after the first
error everything goes nowhere, HDF5 closes in peace, and the error is raised then.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Sink(io.RawIOBase):
    """A file that remembers its first error instead of raising it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = path.open("w+b", buffering=0)
        self._at = 0
        self._size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._at)
        count = self._file.readinto(buffer) or 0
        self._at += count
        return count

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        try:
            self._file.seek(self._at)
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        self._at += length
        self._size = max(self._size, self._at)
        return length

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        try:
            if self.error is None:
                self._file.truncate(self._size)
        except OSError as error:
            self.error = error
        return self._size

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, _Sink]]:
    """A new HDF5 file; an error of the disk is raised as OSError once HDF5 has closed it."""
    with _Sink(path) as sink:
        with h5py.File(sink, "w") as file:
            yield file, sink
        if sink.error is not None:
            raise sink.error
