"""Crops drawn while they are trained on: an endless stream that needs no disk and never shows a sample twice.

    with CropStream(SyntheticConfig(), seed=0, workers=14, batch_size=128) as stream:
        for number, batch in stream.batches(start=1000):
            ...

Sample k of the stream depends on (seed, k) alone, and batch n holds the samples n * batch_size and so on: any number of
workers gives the same batches, and a training goes on at any batch without making those before.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.shards import TOGETHER, crop_records, one_thread_each
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.skeleton import NUM_JOINTS

Batch = dict[str, NDArray[Any]]

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
            self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))
        size = sum(array.nbytes for array in _empty(self.batch_size).values())
        blocks = [SharedMemory(create=True, size=size) for _ in range(self.ahead)]
        waiting: deque[tuple[int, SharedMemory, list[Future[None]]]] = deque()
        numbers = itertools.count(start, step)
        try:
            for block in blocks:
                waiting.append(self._order(next(numbers), block))
            while True:
                number, block, pieces = waiting.popleft()
                for piece in pieces:
                    piece.result()
                # Copied out, so that the block can be filled anew while the batch is trained on.
                batch = {name: array.copy() for name, array in _views(block, self.batch_size).items()}
                waiting.append(self._order(next(numbers), block))
                yield number, batch
        finally:
            for _, _, pieces in waiting:
                for piece in pieces:
                    piece.cancel()
            for _, _, pieces in waiting:
                for piece in pieces:
                    if not piece.cancelled():
                        piece.exception()
            for block in blocks:
                block.close()
                block.unlink()

    def _order(self, number: int, block: SharedMemory) -> tuple[int, SharedMemory, list[Future[None]]]:
        assert self._pool is not None
        pieces = []
        for row in range(0, self.batch_size, PIECE):
            count = min(PIECE, self.batch_size - row)
            first = number * self.batch_size + row
            task = (block.name, self.batch_size, row, self.spec, self.seed, first, count)
            pieces.append(self._pool.submit(_draw_shared, *task))
        return number, block, pieces


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


_blocks: dict[str, SharedMemory] = {}


def _draw_shared(name: str, rows: int, row: int, spec: SyntheticConfig, seed: int, first: int, count: int) -> None:
    if name not in _blocks:
        _blocks[name] = SharedMemory(name)
    _draw(_views(_blocks[name], rows), row, spec, seed, first, count)


def available_workers(keep: int = 2) -> int:
    """Processes for drawing on this machine: all cores that this process may use but `keep`, at least one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(usable - keep, 1)
