"""Where batches come from: memory or disk, each observation once."""

from __future__ import annotations

import threading
import tracemalloc
from typing import ClassVar

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sigilla.errors import DataError
from sigilla.models import SVQVAE, VAE
from sigilla.train import _data, fit, sample_rows
from sigilla.train._data import InMemory, Streamed

CPU = torch.device("cpu")


class Counted:
    """Row i is (i, i, ...): what is read can be told from the values."""

    def __init__(self, n: int, width: int = 3, block_rows: int = 7) -> None:
        self.shape, self.block_rows = (n, width), block_rows

    def __getitem__(self, rows: slice) -> np.ndarray:
        index = np.arange(*rows.indices(self.shape[0]), dtype=np.float32)
        return np.repeat(index[:, None], self.shape[1], axis=1)


class Array(Counted):
    """An array that is read by rows."""

    def __init__(self, x: np.ndarray, block_rows: int = 7) -> None:
        super().__init__(*x.shape, block_rows)
        self.x = x

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.x[rows].copy()


def streamed(n: int, held: np.ndarray | None = None, block_rows: int = 7) -> Streamed:
    held = np.zeros(n, dtype=bool) if held is None else held
    return Streamed(Counted(n, block_rows=block_rows), torch.arange(n), held, CPU)


@given(
    n=st.integers(1, 200), block_rows=st.integers(1, 50), size=st.integers(1, 80), every=st.just(5)
)
def test_an_epoch_from_disk_gives_every_training_row_once_with_its_own_label(
    n, block_rows, size, every
):
    held = np.arange(n) % every == 1
    data = streamed(n, held, block_rows)
    data.window = 3
    batches = list(data.epoch(size))
    sizes = [len(batch.x) for batch in batches]
    assert len(sizes) == -(-int((~held).sum()) // size)
    assert set(sizes[:-2]) <= {size}
    assert max(sizes) <= size
    assert len(sizes) == 1 or 2 * min(sizes) >= size
    x = torch.cat([b.x for b in batches])
    label = torch.cat([b.label for b in batches])
    assert torch.equal(x[:, 0].long(), label)
    assert torch.equal(label.sort().values, torch.from_numpy(np.flatnonzero(~held)))
    if held.any():
        assert torch.equal(torch.cat([b.label for b in data.held_out()]), label_of(held))


def label_of(held: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(held))


def test_rows_of_distant_blocks_meet_in_a_batch_and_epochs_differ():
    torch.manual_seed(0)
    data = streamed(7000)
    first, second = (torch.cat([b.label for b in data.epoch(100)]) for _ in range(2))
    assert not torch.equal(first, second)
    assert (first[:100].max() - first[:100].min()) > 3500
    correlation = torch.corrcoef(torch.stack([torch.arange(7000.0), first.float()]))[0, 1]
    assert abs(float(correlation)) < 0.05


def test_the_start_sees_every_class_even_where_only_a_sample_is_kept(monkeypatch):
    monkeypatch.setattr(_data, "_SAMPLE_BYTES", 50 * 4 * 3)
    assert sample_rows(1000, 3) == 50
    label = torch.tensor([0] * 900 + [1] * 99 + [2])
    data = Streamed(Counted(1000), label, np.zeros(1000, dtype=bool), CPU)
    x, seen = data.start()
    assert torch.equal(label[x[:, 0].long()], seen)
    counts = torch.bincount(seen)
    assert counts.tolist() == pytest.approx([45, 5, 1], abs=2)
    assert counts[2] == 1


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(_data, "_SAMPLE_BYTES", 2**18)
    monkeypatch.setattr(_data, "_WINDOW_BYTES", 2**18)
    peaks = []
    for n in (20_000, 80_000):
        rows = Counted(n, width=256, block_rows=64)
        config = VAE.Config(n_latent=2, n_hidden=4, max_epochs=1, batch_size=1024)
        model = VAE(config, n_features=256)
        label = np.zeros(n, dtype=np.int64)
        tracemalloc.start()
        fit(model, rows, label, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = 60_000 * 256 * 4
    assert peaks[1] - peaks[0] < more / 10  # the labels and what chooses among them


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_the_thread_that_reads_ahead_starts_none_of_torchs():
    class Watched(Counted):
        others: ClassVar[list[int]] = []

        def __getitem__(self, rows: slice) -> np.ndarray:
            pythons = {thread.native_id for thread in threading.enumerate()}
            self.others.append(len({t.id for t in psutil.Process().threads()} - pythons))
            return super().__getitem__(rows)

    n = 60_000
    rows = Watched(n, width=1, block_rows=n // 6)
    data = Streamed(rows, torch.arange(n), np.zeros(n, dtype=bool), CPU)
    data.window = 1
    list(data.epoch(1000))  # the main thread has started its own by now
    rows.others.clear()
    list(data.epoch(1000))
    assert len(rows.others) == 6
    assert len(set(rows.others)) == 1


def test_what_breaks_while_the_next_block_is_read_is_raised_to_the_caller():
    class Broken(Counted):
        def __getitem__(self, rows):
            if rows.start > 50:
                raise DataError("row 51 is bad")
            return super().__getitem__(rows)

    with pytest.raises(DataError, match="row 51 is bad"):
        fit(VAE(VAE.Config(n_latent=1), n_features=3), Broken(100))


def test_training_from_disk_reaches_what_training_from_memory_does(monkeypatch):
    monkeypatch.setattr(_data, "_WINDOW_BYTES", 20_000)
    rng = np.random.default_rng(0)
    label = np.sort(np.arange(1200) % 6)  # as a file often is: class after class
    centres = rng.normal(size=(6, 20))
    x = (centres[label] + 1.2 * rng.normal(size=(1200, 20))).astype(np.float32)
    reached = {}
    for name, source in {"memory": x, "disk": Array(x, block_rows=50)}.items():
        config = SVQVAE.Config(n_latent=8, n_hidden=16, max_epochs=10)
        model = SVQVAE(config, n_features=20, classes=list("abcdef"))
        reached[name] = max(fit(model, source, label, progress=False)["val_accuracy"])
    assert reached["disk"] == pytest.approx(reached["memory"], abs=0.03)
    assert reached["disk"] > 0.8


def test_an_epoch_from_memory_gives_every_training_row_once():
    held = np.arange(50) % 4 == 0
    x = torch.arange(50.0)[:, None].expand(50, 2).contiguous()
    data = InMemory(x, torch.arange(50), held, CPU)
    label = torch.cat([b.label for b in data.epoch(8)])
    assert torch.equal(label.sort().values, label_of(~held))
