"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def mirror() -> Callable[[str], Path]:
    """A real data file from the local mirror ($SIGILLA_MIRROR), or a skip that says which."""

    def find(name: str) -> Path:
        base = os.environ.get("SIGILLA_MIRROR")
        if not base or "://" in base:
            pytest.skip(f"real data: set SIGILLA_MIRROR to a folder that holds {name}")
        path = Path(base) / name
        if not path.exists():
            pytest.skip(f"real data: {name} is not in SIGILLA_MIRROR")
        return path

    return find
