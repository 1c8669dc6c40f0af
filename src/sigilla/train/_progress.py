"""One bar with the loss, on a terminal or in a notebook; silence elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sigilla.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tqdm import tqdm


class _Bar:
    def __init__(self, bar: tqdm[Any] | None = None) -> None:
        self._bar = bar

    def update(self, values: dict[str, float]) -> None:
        if self._bar is None:
            return
        shown = {k: v for k, v in values.items() if k in {"loss", "val_loss", "val_accuracy"}}
        self._bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
        self._bar.update()


@contextmanager
def bar(total: int, initial: int, title: str, progress: bool | None) -> Iterator[_Bar]:
    """A bar over epochs, or an object that does nothing."""
    if not settings.shows_progress(progress):
        yield _Bar()
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=initial, desc=title, unit="epoch") as shown:
        yield _Bar(shown)
