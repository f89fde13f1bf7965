"""Images of several streams that belong to one instant are put together by their stamps.

RealSense gives colour, aligned depth and camera_info of one frameset the same stamp, so equality is the right test. A
tolerance above half a frame period pairs wrong frames as soon as single images get lost (42 to 46 % measured with
message_filters at 30 Hz and 10 % loss). Two uses: `StampPairer` for live streams, where the newest complete set
wins, and `pair_all` for recordings, where every set counts.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

UNPAIRED = "unpaired"  # the other streams' images of this instant never came
OVERFLOW = "overflow"  # more than `capacity` images of a stream were waiting
LATE = "late"  # came after a newer set had been given
DUPLICATE = "duplicate"  # a stream sent the same stamp twice; the first is kept
JUMP = "jump"  # waited while the stamps jumped back (a bag loops, a clock is set)

# Going back within one stream by more than this is a jump of time; less is two images that overtook each other.
JUMP_NS: Final = 250_000_000


@dataclass(frozen=True, eq=False)
class _Waiting:
    stamp_ns: int
    item: Any


class StampPairer:
    """Sets of one item per stream with equal stamps (or within a tolerance), newest first, never going back.

    Not thread-safe: guard `add` with the caller's own lock where streams come from several threads. Every item is
    either in exactly one given set or counted in `drops` once, unless it is still waiting (`waiting`).

    Args:
        streams: names of the streams; a set holds one item of each.
        tolerance_ns: largest difference of stamps within a set; keep it below half a frame period.
        capacity: items kept per stream while they wait.
        jump_ns: an item older than its own stream's newest by more than this means that time jumped back.

    Attributes:
        tolerance_ns: may be changed while running.
        drops: dropped items by reason: "unpaired", "overflow", "late", "duplicate", "jump".
    """

    def __init__(
        self,
        streams: tuple[str, ...],
        tolerance_ns: int = 0,
        capacity: int = 8,
        jump_ns: int = JUMP_NS,
    ) -> None:
        if not streams or len(set(streams)) != len(streams):
            raise ValueError(f"pairer: expected at least one stream and different names, got {streams}")
        if tolerance_ns < 0 or capacity < 1 or jump_ns < 0:
            raise ValueError(
                f"pairer: expected tolerance_ns >= 0, capacity >= 1 and jump_ns >= 0, got {tolerance_ns}, "
                f"{capacity}, {jump_ns}"
            )
        self.streams = streams
        self.drops: Counter[str] = Counter()
        self.tolerance_ns = tolerance_ns
        self._capacity = capacity
        self._jump = jump_ns
        self._queues: dict[str, list[_Waiting]] = {name: [] for name in streams}
        self._last: dict[str, int] = {}
        self._given: int | None = None

    @property
    def waiting(self) -> int:
        """Items that wait for their companions; at most capacity x streams."""
        return sum(map(len, self._queues.values()))

    def add(self, stream: str, stamp_ns: int, item: Any) -> dict[str, Any] | None:
        """Take one item in; the complete set it makes, newer than every set given before, or None.

        Raises:
            KeyError: an unknown stream.
        """
        queue = self._queues[stream]
        if stamp_ns < self._last.get(stream, stamp_ns) - self._jump:
            self.reset()
        self._last[stream] = max(stamp_ns, self._last.get(stream, stamp_ns))
        if self._given is not None and stamp_ns <= self._given:
            self.drops[LATE] += 1
            return None
        if any(other.stamp_ns == stamp_ns for other in queue):
            self.drops[DUPLICATE] += 1
            return None
        queue.append(_Waiting(stamp_ns, item))
        chosen = self._set_around(stamp_ns, stream)
        if chosen is None:
            if len(queue) > self._capacity:
                queue.remove(min(queue, key=lambda waiting: waiting.stamp_ns))
                self.drops[OVERFLOW] += 1
            return None
        self._give(chosen)
        return {name: chosen[name].item for name in self.streams}

    def reset(self) -> None:
        """Forget what waits (counted as "jump") and the time reached; the drop counts stay."""
        self.drops[JUMP] += self.waiting
        self.drops += Counter()  # keep no zero entry
        for queue in self._queues.values():
            queue.clear()
        self._last.clear()
        self._given = None

    def flush(self) -> None:
        """At the end of a stream: what still waits is counted as "unpaired"."""
        self.drops[UNPAIRED] += self.waiting
        self.drops += Counter()
        for queue in self._queues.values():
            queue.clear()

    def _set_around(self, stamp_ns: int, stream: str) -> dict[str, _Waiting] | None:
        """The newest set within the tolerance that holds the item just added."""
        # All members lie within one window of the tolerance's width that contains the new item: try windows by their
        # upper end, newest first.
        if self.tolerance_ns == 0:
            tops = [stamp_ns]
        else:
            stamps = {w.stamp_ns for q in self._queues.values() for w in q}
            tops = sorted((s for s in stamps if stamp_ns <= s <= stamp_ns + self.tolerance_ns), reverse=True)
        for top in tops:
            chosen = self._within(top, stamp_ns, stream)
            if chosen is not None:
                return chosen
        return None

    def _within(self, top: int, stamp_ns: int, stream: str) -> dict[str, _Waiting] | None:
        chosen: dict[str, _Waiting] = {}
        for name, queue in self._queues.items():
            fitting = [w for w in queue if top - self.tolerance_ns <= w.stamp_ns <= top]
            if name == stream:
                fitting = [w for w in fitting if w.stamp_ns == stamp_ns]
            if not fitting:
                return None
            chosen[name] = min(fitting, key=lambda w: (abs(w.stamp_ns - stamp_ns), -w.stamp_ns))
        return chosen

    def _give(self, chosen: dict[str, _Waiting]) -> None:
        """Drop what is not newer than the set; nothing older will be given any more."""
        self._given = max(w.stamp_ns for w in chosen.values())
        for name, queue in self._queues.items():
            old = [w for w in queue if w.stamp_ns <= self._given]
            dropped = sum(w is not chosen[name] for w in old)
            if dropped:
                self.drops[UNPAIRED] += dropped
            queue[:] = [w for w in queue if w.stamp_ns > self._given]


def pair_all(
    items: Iterable[tuple[str, int, Any]],
    streams: tuple[str, ...],
    tolerance_ns: int = 0,
    drops: Counter[str] | None = None,
    window: int = 32,
) -> Iterator[dict[str, Any]]:
    """Every set of a recording, by stamp; `items` are (stream, stamp_ns, item) in the order of recording.

    Streams may lag behind each other by up to `window` items in all: that many are kept and sorted. After a jump back
    in time the sets start anew from there. What is in no set is counted in `drops`.
    """
    pairer = StampPairer(streams, tolerance_ns, capacity=window)
    for stream, stamp_ns, item in _sorted(items, window):
        complete = pairer.add(stream, stamp_ns, item)
        if complete is not None:
            yield complete
    pairer.flush()
    if drops is not None:
        # The stamps came sorted: what had to make room had no companion left to come.
        pairer.drops[UNPAIRED] += pairer.drops.pop(OVERFLOW, 0)
        drops.update(+pairer.drops)


def _sorted(items: Iterable[tuple[str, int, Any]], window: int) -> Iterator[tuple[str, int, Any]]:
    heap: list[tuple[int, int, str, Any]] = []
    last: dict[str, int] = {}
    for order, (stream, stamp_ns, item) in enumerate(items):
        if stamp_ns < last.get(stream, stamp_ns) - JUMP_NS:
            while heap:
                yield _pop(heap)
            last.clear()
        last[stream] = max(stamp_ns, last.get(stream, stamp_ns))
        heapq.heappush(heap, (stamp_ns, order, stream, item))
        if len(heap) > window:
            yield _pop(heap)
    while heap:
        yield _pop(heap)


def _pop(heap: list[tuple[int, int, str, Any]]) -> tuple[str, int, Any]:
    stamp_ns, _, stream, item = heapq.heappop(heap)
    return stream, stamp_ns, item
