"""Jobs of cross-validation, one after the other or in processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sigilla.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Job = TypeVar("Job")
Result = TypeVar("Result")


def run(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    total: int,
    n_jobs: int,
    progress: bool | None,
    title: str,
) -> Iterator[Result]:
    """The results of all jobs, in their order, as they come; jobs are made as they are needed.

    Processes, not threads: fits fork and seed torch's one global stream of random numbers.
    """
    from sklearn.utils.parallel import Parallel, delayed
    from tqdm import tqdm

    found = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(work)(job) for job in jobs)
    hidden = not settings.shows_progress(progress)
    return iter(tqdm(found, total=total, desc=title, unit="fold", disable=hidden))
