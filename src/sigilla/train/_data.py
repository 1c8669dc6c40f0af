"""Where the batches of a fit come from: memory, or blocks of rows read while others train."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch

from sigilla.errors import DataError
from sigilla.logging import logger
from sigilla.models import Batch
from sigilla.nn import row_blocks
from sigilla.train import _processes
from sigilla.train._device import fits_on
from sigilla.train._split import holdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")

# Validation needs no gradients: larger batches, fewer launches.
_EVAL_BATCH = 8192
# Bytes of rows that are shuffled together; two such windows are in memory, one being read.
_WINDOW_BYTES = 64 * 2**20
# Blocks for each process, at least, so that all have about the same number of rows.
_SHARES = 16
# Bytes of rows that a start in closed form looks at, and that validation does.
_SAMPLE_BYTES = 256 * 2**20


class Rows(Protocol):
    """A matrix that is read by rows, observations x features."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of the whole matrix."""

    @property
    def block_rows(self) -> int:
        """How many rows are best read at once."""

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Those rows, dense and finite."""


def sample_rows(n_rows: int, n_features: int) -> int:
    """How many of the rows of a matrix on disk are kept in memory for start and validation each.

    Examples
    --------
    >>> sample_rows(1_000, 978), sample_rows(10**8, 978)
    (1000, 68618)
    """
    return min(n_rows, _SAMPLE_BYTES // (4 * n_features))


class InMemory:
    """All rows in one tensor, on the device where they fit there."""

    def __init__(
        self, x: Tensor, label: Tensor, held: NDArray[np.bool_], device: torch.device
    ) -> None:
        _require_rows(len(x) - int(held.sum()))
        if fits_on(device, x.nbytes):
            x, label = x.to(device), label.to(device)
        self.x, self.label, self.device = x, label, device
        # In blocks: torch makes a copy of 64 bits of what it adds up in 64 bits.
        self.column_sums = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
        for block in row_blocks(x):
            self.column_sums += block.sum(dim=0, dtype=torch.float64)
        self.training = torch.from_numpy(np.flatnonzero(~held)).to(x.device)
        self.validation = torch.from_numpy(np.flatnonzero(held)).to(x.device)
        self.n_validation = len(self.validation)

    def start(self) -> tuple[Tensor, Tensor]:
        """The observations that a start in closed form looks at, as a copy of its own."""
        return self.x[self.training], self.label[self.training]

    def epoch(self, size: int) -> Iterator[Batch]:
        """All training observations in random order."""
        order = self.training[torch.randperm(len(self.training), device=self.training.device)]
        _processes.agreed(order)
        yield from self._batches(order, size)

    def held_out(self) -> Iterator[Batch]:
        """All validation observations."""
        yield from self._batches(self.validation, _EVAL_BATCH)

    def _batches(self, order: Tensor, size: int) -> Iterator[Batch]:
        for index in order.split(_sizes(len(order), size)):
            mine = _my_part(index)
            x, label = self.x.index_select(0, mine), self.label.index_select(0, mine)
            yield _moved(x, label, self.device)


class Streamed:
    """Rows on disk: blocks in random order, shuffled within windows of many blocks.

    A thread reads the next window while this one trains. What is held out, and what a start in
    closed form looks at, is drawn by class and read once; both are bounded, so that memory does
    not grow with the file but for the labels.
    """

    def __init__(
        self, rows: Rows, label: Tensor, held: NDArray[np.bool_], device: torch.device
    ) -> None:
        self.rows, self.label, self.device = rows, label, device
        self.trains = ~held
        _require_rows(int(self.trains.sum()))
        height = _height(rows)
        self.blocks = [slice(i, i + height) for i in range(0, len(held), height)]
        self.window = max(1, _WINDOW_BYTES // (4 * rows.shape[1] * height))
        self.n_validation = int(held.sum())
        self.column_sums = torch.zeros(rows.shape[1], dtype=torch.float64)
        looked_at = _sample(label.numpy(), self.trains, sample_rows(*rows.shape))
        logger.info(
            "Training from disk: %d rows in blocks of %d; the start looks at %d of them",
            len(held),
            height,
            looked_at.sum(),
        )
        validation, start = [np.empty((0, rows.shape[1]), np.float32)], []
        for block, x in self._read(self.blocks):
            self.column_sums += torch.from_numpy(x.sum(axis=0, dtype=np.float64))
            validation.append(x[held[block]])
            start.append(x[looked_at[block]])
        self.validation = _moved(_tensor(validation), label[torch.from_numpy(held)], device)
        looked_at_label = label[torch.from_numpy(looked_at)]
        self._start = _moved(_tensor(start), looked_at_label, device)

    def start(self) -> tuple[Tensor, Tensor]:
        """The observations that a start in closed form looks at; given once, then forgotten."""
        start = self._start
        self._start = Batch(start.x[:0], start.label[:0])
        return start.x, start.label

    def epoch(self, size: int) -> Iterator[Batch]:
        """All training observations; each process reads blocks of its own."""
        order = torch.randperm(len(self.blocks))
        _processes.agreed(order)
        mine = [self.blocks[i] for i in order.tolist()[_processes.rank() :: _processes.world()]]
        n_mine = sum(int(self.trains[block].sum()) for block in mine)
        sizes = _sizes(int(self.trains.sum()), size)
        steps = len(sizes)
        if n_mine < steps:
            raise DataError(
                f"a process has {n_mine} rows for {steps} steps: fewer processes, or a larger "
                f"batch_size than {size}"
            )
        if _processes.world() > 1:  # which have different numbers of rows
            sizes = [n_mine // steps + (step < n_mine % steps) for step in range(steps)]
        yield from self._cut(self._windows(mine), sizes)

    def held_out(self) -> Iterator[Batch]:
        """All validation observations, which are in memory."""
        rows = torch.arange(self.n_validation)
        for index in rows.split(_sizes(self.n_validation, _EVAL_BATCH)):
            part = _my_part(index).to(self.device)
            yield Batch(self.validation.x[part], self.validation.label[part])

    def _cut(self, windows: Iterator[tuple[Tensor, Tensor]], sizes: list[int]) -> Iterator[Batch]:
        """Batches of these sizes; what a window leaves over goes into the next one."""
        x, label = next(windows)
        order = torch.randperm(len(x))
        for size in sizes:
            while len(order) < size:
                more, more_label = next(windows)
                x, label = torch.cat([x[order], more]), torch.cat([label[order], more_label])
                order = torch.randperm(len(x))
            now, order = order[:size], order[size:]
            yield _moved(x.index_select(0, now), label.index_select(0, now), self.device)

    def _windows(self, blocks: list[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """The training rows of so many blocks together; the next are read meanwhile."""
        # By numpy: torch would give the reading thread a team of threads of its own, beside which
        # those of the training, more than processors then, sleep between their operations.
        labels = self.label.numpy()

        def load(first: int) -> tuple[Tensor, Tensor]:
            chosen = blocks[first : first + self.window]
            x = _tensor([self.rows[block][self.trains[block]] for block in chosen])
            return x, _tensor([labels[block][self.trains[block]] for block in chosen])

        return _ahead(load, range(0, len(blocks), self.window))

    def _read(self, blocks: list[slice]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        return _ahead(lambda block: (block, self.rows[block]), blocks)


def _sizes(n_rows: int, size: int) -> list[int]:
    """Batches of one size, which matrix products like best; a small rest shares with the last.

    Examples
    --------
    >>> _sizes(128, 32), _sizes(120, 32), _sizes(100, 32), _sizes(5, 32)
    ([32, 32, 32, 32], [32, 32, 32, 24], [32, 32, 18, 18], [5])
    """
    full, rest = divmod(n_rows, size)
    sizes = [size] * full
    if not rest:
        return sizes
    if not full or 2 * rest >= size:
        return [*sizes, rest]
    both = size + rest  # a batch of one row would be all noise
    return [*sizes[:-1], both - both // 2, both // 2]


def _height(rows: Rows) -> int:
    """Rows of a block: fewer than are best read at once if some process would else have none."""
    if _processes.world() == 1:
        return rows.block_rows
    return min(rows.block_rows, max(1, rows.shape[0] // (_SHARES * _processes.world())))


def _ahead(load: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map`` in which a thread works on the next item while the caller has this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for item in items:
            following = reader.submit(load, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def _sample(
    label: NDArray[np.integer], allowed: NDArray[np.bool_], n_rows: int
) -> NDArray[np.bool_]:
    """So many of the allowed rows, each class by its share and by one at least."""
    index = np.flatnonzero(allowed)
    left_out = max(0.0, 1 - n_rows / max(len(index), 1))
    # Rows without a label are a class here, or none of them would be left out.
    out = holdout(label[index] + 1, left_out, np.random.default_rng(0))
    chosen = np.zeros(len(label), dtype=bool)
    chosen[index[~out]] = True
    return chosen


def _my_part(index: Tensor) -> Tensor:
    """The share of this process of a batch; where that is too small to share, all of it."""
    if len(index) < _processes.world():
        return index
    return torch.tensor_split(index, _processes.world())[_processes.rank()]


def _require_rows(n_training: int) -> None:
    if n_training < _processes.world():
        raise DataError(
            f"{n_training} training observations for {_processes.world()} processes; "
            "each process needs one at least"
        )


def _tensor(parts: Sequence[NDArray[np.number]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))


def _moved(x: Tensor, label: Tensor, device: torch.device) -> Batch:
    return Batch(x.to(device, non_blocking=True), label.to(device, non_blocking=True))
