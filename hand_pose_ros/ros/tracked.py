"""Whether each hand is seen at this moment, for whoever moves a robot by it: where the answer is no, it holds still."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from hand_pose_ros.skeleton import Side

# Results may come this much later than the one before did before they count as missing.
_LATE: Final = 2.0


class TrackedHands:
    """Tells changes only; where no result comes any more, no hand is seen. All methods may be called from any thread.

    Args:
        tell: called with a side and whether it is seen.
        patience_s: without a result for so long (or for twice as long as between the last two), nothing is seen.
    """

    def __init__(self, tell: Callable[[Side, bool], None], patience_s: float) -> None:
        self.patience_s = patience_s
        self._tell = tell
        self._lock = threading.Lock()
        self._told: dict[Side, bool] = {}
        self._last_s: float | None = None
        self._gap_s = 0.0

    def seen(self, sides: Collection[Side], now_s: float) -> None:
        """A result with hands of these sides has been published."""
        with self._lock:
            self._gap_s = 0.0 if self._last_s is None else now_s - self._last_s
            self._last_s = now_s
            self._say(sides)

    def look(self, now_s: float) -> None:
        """Call it now and then: results may have ceased."""
        with self._lock:
            if self._last_s is not None and now_s - self._last_s > max(self.patience_s, _LATE * self._gap_s):
                self._last_s = None
                self._say(())

    def nothing(self) -> None:
        """Nobody looks for hands at present."""
        with self._lock:
            self._last_s = None
            self._say(())

    def _say(self, sides: Collection[Side]) -> None:
        for side in Side:
            if self._told.get(side) is not (side in sides):
                self._told[side] = side in sides
                self._tell(side, side in sides)
