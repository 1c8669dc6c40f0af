"""``python -m sigilla``, which ``torchrun -m sigilla`` starts several times."""

from __future__ import annotations

from sigilla.cli import main

if __name__ == "__main__":
    main()
