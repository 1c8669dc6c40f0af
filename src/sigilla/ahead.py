"""Reading ahead: the next thing is fetched while this one is worked on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(load: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map`` in which a thread works on the next item while the caller has this one.

    Examples
    --------
    >>> list(ahead(str.upper, ["mek", "raf"]))
    ['MEK', 'RAF']
    """
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for item in items:
            following = reader.submit(load, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
