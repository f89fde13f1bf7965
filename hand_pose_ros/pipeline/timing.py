"""Stage timings of one frame."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STAGES: Final = ("find", "crop", "infer", "lift", "fit", "mesh", "track", "total")


class StageTimer:
    """Adds up wall-clock milliseconds per stage from its construction on; a stage may be entered several times."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._spent = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` block for this stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._spent[name] += (time.perf_counter() - start) * 1e3

    def finish(self) -> dict[str, float]:
        """Milliseconds of every stage and of the whole frame."""
        return {**self._spent, "total": (time.perf_counter() - self._start) * 1e3}
