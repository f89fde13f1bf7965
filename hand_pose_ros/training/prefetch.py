"""Batches made ready in a thread while the device works on the one before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning_utilities.core.apply_func import apply_to_collection

Item = TypeVar("Item")
_WAIT = 0.2  # seconds after which the thread looks whether it is to stop


class Prefetch(Generic[Item]):
    """Runs `batches` through `prepare` in a thread, at most `ahead` of them before they are asked for.

    A context manager and an iterator; an error in the thread is raised where its batch would have come.
    """

    def __init__(self, batches: Iterator[Any], prepare: Callable[[Any], Item], ahead: int = 2) -> None:
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(batches, prepare), daemon=True)

    def __enter__(self) -> Prefetch[Item]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item, error = self._queue.get()
        if error is not None:
            raise error
        return item  # type: ignore[return-value]

    def _work(self, batches: Iterator[Any], prepare: Callable[[Any], Item]) -> None:
        try:
            for batch in batches:
                if self._stop.is_set() or not self._put((prepare(batch), None)):
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001  (raised again in the thread that asks)
            self._put((None, error))
        finally:
            if isinstance(batches, Generator):
                batches.close()  # in this thread: a generator is closed where it runs

    def _put(self, item: tuple[Item | None, BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_WAIT)
            except queue.Full:
                continue
            return True
        return False


def to_device(value: Any, device: torch.device) -> Any:
    """Tensors in (named) tuples on a device; to a GPU through pinned memory, without waiting. The rest as it is."""
    if device.type == "cuda":
        value = apply_to_collection(value, torch.Tensor, torch.Tensor.pin_memory)
    return move_data_to_device(value, device)
