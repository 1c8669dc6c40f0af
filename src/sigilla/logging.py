"""One named logger; the root logger and its handlers belong to the user."""

from __future__ import annotations

import logging

logger = logging.getLogger("sigilla")
logger.addHandler(logging.NullHandler())
