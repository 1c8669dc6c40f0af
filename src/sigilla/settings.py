"""What a user may set once for all calls; every field can come from the environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path


def _cache_dir() -> Path:
    given = os.environ.get("SIGILLA_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(base) / "sigilla"


@dataclass(slots=True)
class Settings:
    """Process-wide settings.

    Attributes
    ----------
    cache_dir
        Where :mod:`sigilla.datasets` keeps downloads (``SIGILLA_CACHE``, else the user's cache).
    mirror
        A folder or URL base looked in before a data set's own source (``SIGILLA_MIRROR``).
    progress
        ``True``/``False`` forces progress bars on or off; ``None`` shows them on a terminal or in
        a notebook (``SIGILLA_PROGRESS=0`` or ``1``).
    """

    cache_dir: Path = field(default_factory=_cache_dir)
    mirror: str | None = field(default_factory=lambda: os.environ.get("SIGILLA_MIRROR") or None)
    progress: bool | None = field(
        default_factory=lambda: {"0": False, "1": True}.get(os.environ.get("SIGILLA_PROGRESS", ""))
    )

    def shows_progress(self, asked: bool | None) -> bool:
        """Whether to show a bar: as the call asks, else as set here, else where a person looks on.

        Examples
        --------
        >>> settings.shows_progress(False)
        False
        """
        wanted = self.progress if asked is None else asked
        if wanted is None:
            return sys.stderr.isatty() or "ipykernel" in sys.modules
        return wanted


settings = Settings()
