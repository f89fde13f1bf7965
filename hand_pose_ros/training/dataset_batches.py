"""Data sets of real hands as batches in the form of shards, read by worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import numpy as np
from torch.utils.data import DataLoader, Dataset

from hand_pose_ros.datasets.base import Dataset as HandData
from hand_pose_ros.datasets.base import DatasetError
from hand_pose_ros.training.shards import Batch

S = TypeVar("S")


class DatasetBatches(Generic[S]):
    """Batches of a data set in an order that depends on the seed alone: every sample once per epoch, the last
    incomplete batch left out.

    Args:
        dataset: of samples.
        record: makes a row of a shard of a sample. It and `usable` go to other processes.
        usable: whether a sample has joints; one that has none gives way to the next one that has.
        batch_size: samples per batch; a smaller data set is one batch.
        workers: reading processes; 0 reads in this one.
    """

    def __init__(
        self,
        dataset: HandData[S],
        record: Callable[[S], Batch],
        usable: Callable[[S], bool],
        batch_size: int,
        seed: int,
        workers: int = 0,
    ) -> None:
        self.batch_size = min(batch_size, len(dataset))
        self.batches_per_epoch = len(dataset) // self.batch_size
        self._rows = _Rows(dataset, record, usable, self.batch_size, seed)
        self._workers = workers

    def batches(self, start: int = 0, step: int = 1) -> Generator[tuple[int, Batch], None, None]:
        """(number, batch) for the batches start, start + step, start + 2 step and so on, for ever."""
        loader = DataLoader(
            self._rows,
            batch_size=None,
            sampler=itertools.count(start, step),
            num_workers=self._workers,
            collate_fn=_as_is,
            multiprocessing_context="spawn" if self._workers else None,
        )
        yield from zip(itertools.count(start, step), loader, strict=False)


class _Rows(Dataset[Batch], Generic[S]):
    """Batch by number."""

    def __init__(
        self,
        dataset: HandData[S],
        record: Callable[[S], Batch],
        usable: Callable[[S], bool],
        batch_size: int,
        seed: int,
    ) -> None:
        self.dataset, self.record, self.usable = dataset, record, usable
        self.batch_size, self.seed = batch_size, seed

    def __getitem__(self, number: int) -> Batch:
        epoch, within = divmod(number, len(self.dataset) // self.batch_size)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))
        chosen = order[within * self.batch_size : (within + 1) * self.batch_size]
        records = [self.record(self._sample(int(index))) for index in chosen]
        return {name: np.stack([record[name] for record in records]) for name in records[0]}

    def _sample(self, index: int) -> S:
        for place in range(len(self.dataset)):
            sample = self.dataset[(index + place) % len(self.dataset)]
            if self.usable(sample):
                return sample
        raise DatasetError(f"{self.dataset.name} {self.dataset.split}: expected samples with joints, found none")


def _as_is(batch: Any) -> Any:
    return batch
