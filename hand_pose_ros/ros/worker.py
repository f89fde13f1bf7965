"""One worker thread that always takes the newest item: callbacks only store, queues cannot grow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestWorker(Generic[T]):
    """A thread and a slot for one item.

    Args:
        process: called in the thread with the newest item.
        replaced: called by `submit` when the item before was never taken (the consumer is slower than the input).
        failed: called in the thread with an exception that `process` let out; it then ends the thread.
        name: of the thread.
    """

    def __init__(
        self,
        process: Callable[[T], None],
        replaced: Callable[[], None],
        failed: Callable[[BaseException], None],
        name: str = "hand_pose_worker",
    ) -> None:
        self._process = process
        self._replaced = replaced
        self._failed = failed
        self._name = name
        self._condition = threading.Condition()
        self._slot: list[T] = []
        self._running = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Items that wait: 0 or 1."""
        return len(self._slot)

    def start(self) -> None:
        """Start the thread; what was submitted before is forgotten."""
        if self._thread is not None:
            raise RuntimeError("the worker runs already; stop it first")
        self._slot.clear()
        self._running = True
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def submit(self, item: T) -> None:
        """Make `item` the next one to be processed, in place of one that still waits."""
        with self._condition:
            waiting = bool(self._slot)
            self._slot[:] = [item]
            self._condition.notify()
        if waiting:
            self._replaced()

    def stop(self) -> None:
        """End the thread after the item it is at; called from any other thread. Stopping twice is harmless."""
        with self._condition:
            self._running = False
            self._condition.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._thread = None

    def _take(self) -> T | None:
        with self._condition:
            while self._running and not self._slot:
                self._condition.wait()
            return self._slot.pop() if self._running else None

    def _run(self) -> None:
        while (item := self._take()) is not None:
            try:
                self._process(item)
            except BaseException as error:
                self._failed(error)
                raise
