"""Crops drawn while they are trained on: an endless stream that needs no disk and never shows a sample twice.

    with CropStream(SyntheticConfig(), seed=0, workers=14, batch_size=128) as stream:
        for number, batch in stream.batches(start=1000):
            ...

Sample k of the stream depends on (seed, k) alone, and batch n holds the samples n * batch_size and so on: any number of
workers gives the same batches, and a training goes on at any batch without making those before.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.shards import TOGETHER, crop_records, end_with_parent, one_thread_each
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.skeleton import NUM_JOINTS

Batch = dict[str, NDArray[Any]]
log = logging.getLogger(__name__)

# A batch is shared out among the workers in pieces of this many samples.
PIECE = TOGETHER
# The stream's samples are others than those of shards with the same seed.
_STREAM = 2
_PIXELS = 160
_LAYOUT: dict[str, tuple[tuple[int, ...], str]] = {
    "color": ((_PIXELS, _PIXELS, 3), "uint8"),
    "depth": ((_PIXELS, _PIXELS), "uint16"),
    "intrinsics": ((4,), "float32"),
    "joints": ((NUM_JOINTS, 3), "float32"),
    "center": ((3,), "float32"),
    "visible": ((NUM_JOINTS,), "bool"),
    "negative": ((), "bool"),
    "wrong_side": ((), "bool"),
}


class CropStream:
    """Endless crops as `hand_pose synth crops` makes them, for training on the fly.

    Args:
        spec: what is drawn.
        seed: equal seeds give equal streams.
        workers: processes that draw; 0 draws in this one. They are started by the first `batches`, with spawn (OpenGL
            does not survive a fork), so the main program must be guarded by `if __name__ == "__main__"`.
        batch_size: samples per batch.
        ahead: batches made before they are asked for; 0 takes what keeps all workers busy.

    A context manager; `close` stops the workers. Raises `RendererUnavailable` at the first batch when there is no
    OpenGL; the text says what to install.
    """

    def __init__(
        self, spec: SyntheticConfig, seed: int, workers: int = 0, batch_size: int = 64, *, ahead: int = 0
    ) -> None:
        if workers < 0 or batch_size < 1 or ahead < 0:
            raise ValueError(
                f"crop stream: expected workers >= 0, batch_size >= 1 and ahead >= 0, got {workers}, {batch_size} and "
                f"{ahead}"
            )
        self.spec, self.seed, self.workers, self.batch_size = spec, seed, workers, batch_size
        pieces = -(-batch_size // PIECE)
        self.ahead = ahead or 2 + -(-2 * workers // pieces)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> CropStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers. The stream can be used again; it then starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def batches(self, start: int = 0, step: int = 1) -> Iterator[tuple[int, Batch]]:
        """(number, batch) of the batches start, start + step, start + 2 step and so on, for ever.

        With several training processes each takes its own: `batches(rank, world_size)`. The arrays are those of shards
        of crops (see `shards.py`), each with `batch_size` rows, and belong to the caller.
        """
        if start < 0 or step < 1:
            raise ValueError(f"crop stream: expected start >= 0 and step >= 1, got {start} and {step}")
        if self.workers == 0:
            for number in itertools.count(start, step):
                batch = _empty(self.batch_size)
                _draw(batch, 0, self.spec, self.seed, number * self.batch_size, self.batch_size)
                yield number, batch
        else:
            yield from self._from_workers(start, step)

    def _from_workers(self, start: int, step: int) -> Iterator[tuple[int, Batch]]:
        if self._pool is None:
            one_thread_each()
            self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"), initializer=end_with_parent)
        size = sum(array.nbytes for array in _empty(self.batch_size).values())
        shared = _shared_memory_left() >= self.ahead * size
        if not shared:
            log.warning(
                "crop stream: %d MB of shared memory wanted, %d MB free; crops go through pipes instead, which takes "
                "more CPU time. In a container give --shm-size=2g or --ipc=host.",
                self.ahead * size // 2**20,
                _shared_memory_left() // 2**20,
            )
        blocks = [SharedMemory(create=True, size=size) if shared else None for _ in range(self.ahead)]
        waiting: deque[_Order] = deque()
        numbers = itertools.count(start, step)
        try:
            for block in blocks:
                waiting.append(self._order(next(numbers), block))
            while True:
                order = waiting.popleft()
                batch = self._collect(order)
                waiting.append(self._order(next(numbers), order.block))
                yield order.number, batch
        finally:
            _call_off(waiting)
            for block in blocks:
                if block is not None:
                    block.close()
                    block.unlink()

    def _order(self, number: int, block: SharedMemory | None) -> _Order:
        assert self._pool is not None
        pieces = []
        for row in range(0, self.batch_size, PIECE):
            count = min(PIECE, self.batch_size - row)
            place = None if block is None else (block.name, self.batch_size, row)
            first = number * self.batch_size + row
            pieces.append(self._pool.submit(_draw_apart, place, self.spec, self.seed, first, count))
        return _Order(number, block, pieces)

    def _collect(self, order: _Order) -> Batch:
        """The finished batch, copied out of its block, which is then free for another one."""
        try:
            pieces = [piece.result() for piece in order.pieces]
        except BrokenProcessPool as error:
            self._pool = None
            raise RuntimeError(
                "crop stream: a drawing process died. Was it killed for want of memory (fewer workers), or is the main "
                'program not guarded by `if __name__ == "__main__"` (processes are started with spawn)?'
            ) from error
        if order.block is not None:
            return {name: array.copy() for name, array in _views(order.block, self.batch_size).items()}
        return {name: np.concatenate([piece[name] for piece in pieces if piece is not None]) for name in _LAYOUT}


@dataclass(frozen=True)
class _Order:
    """A batch that is being drawn: into a block of shared memory, or to be sent (None)."""

    number: int
    block: SharedMemory | None
    pieces: list[Future[Batch | None]]


def _call_off(orders: Iterable[_Order]) -> None:
    """Wait until nobody draws for these orders any more."""
    pieces = [piece for order in orders for piece in order.pieces]
    for piece in pieces:
        piece.cancel()
    wait(pieces)


def _shared_memory_left() -> int:
    """Bytes; a container often has 64 MB only, and writing beyond them kills the process."""
    try:
        state = os.statvfs("/dev/shm")
    except FileNotFoundError:
        return 0
    return state.f_bavail * state.f_frsize


def _empty(rows: int) -> Batch:
    return {name: np.empty((rows, *shape), dtype) for name, (shape, dtype) in _LAYOUT.items()}


def _views(block: SharedMemory, rows: int) -> Batch:
    """The arrays of a batch in a block of memory, one after the other."""
    views: Batch = {}
    offset = 0
    for name, (shape, dtype) in _LAYOUT.items():
        views[name] = np.ndarray((rows, *shape), dtype, buffer=block.buf, offset=offset)
        offset += views[name].nbytes
    return views


def _draw(batch: Batch, row: int, spec: SyntheticConfig, seed: int, first: int, count: int) -> None:
    """Samples first, first + 1, ... of the stream into the rows of a batch from `row` on."""
    rngs = [np.random.default_rng([seed, _STREAM, index]) for index in range(first, first + count)]
    for number, record in enumerate(crop_records(rngs, spec), start=row):
        for name, value in record.items():
            batch[name][number] = value


def _draw_apart(
    place: tuple[str, int, int] | None, spec: SyntheticConfig, seed: int, first: int, count: int
) -> Batch | None:
    """In a worker: samples first, first + 1, ... into a block of memory (its name, the batch's rows, the row to begin
    at), or returned."""
    if place is None:
        batch = _empty(count)
        _draw(batch, 0, spec, seed, first, count)
        return batch
    name, rows, row = place
    block = SharedMemory(name)
    _draw(_views(block, rows), row, spec, seed, first, count)
    # Not after an error, whose traceback holds on to the arrays.
    block.close()
    return None


def available_workers(keep: int = 2) -> int:
    """Processes for drawing on this machine: all cores that this process may use but `keep`, at least one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(usable - keep, 1)
