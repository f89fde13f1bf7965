"""Endless, deterministic batches from folders of shards, so that a training can be stopped and resumed anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.training.errors import TrainingError

Batch = dict[str, NDArray[np.generic]]


class ShardError(TrainingError):
    """A folder of shards that cannot be used; the text says what is missing and how to make it."""


class ShardStream:
    """Batches in an order that depends only on the seed and the shards: every sample once per epoch.

    Shards are folders of equally long `.npy` arrays (see `hand_pose_ros.datasets.synthetic.shards`), read through
    memory maps. The order of the shards and of the samples in each is drawn anew every epoch; a batch never crosses a
    shard's border, and a shard's last incomplete batch is left out. A shorter last shard is left out as well.
    """

    def __init__(self, folders: Path | Sequence[Path], batch_size: int, seed: int) -> None:
        chosen = [folders] if isinstance(folders, Path) else list(folders)
        paths = [p for folder in chosen for p in sorted(folder.glob("[!.]*")) if any(p.glob("*.npy"))]
        self.batch_size = batch_size
        self.seed = seed
        if not paths:
            raise ShardError(
                f"no shards in {', '.join(map(str, chosen))}; make them with `hand_pose synth crops|frames`"
            )
        sizes = [len(next(iter(_arrays(path).values()))) for path in paths]
        self.shard_size = max(sizes)
        self.paths = [path for path, size in zip(paths, sizes, strict=True) if size == self.shard_size]
        if self.shard_size < batch_size:
            raise ShardError(f"expected shards of at least {batch_size} samples, {self.paths[0]} has {self.shard_size}")

    @property
    def batches_per_epoch(self) -> int:
        """Batches in one pass over all shards."""
        return len(self.paths) * (self.shard_size // self.batch_size)

    def batches(self, start: int = 0, step: int = 1) -> Generator[tuple[int, Batch], None, None]:
        """(number, batch) for the batches start, start + step, start + 2 step and so on, for ever."""
        per_shard = self.shard_size // self.batch_size
        epoch, place, shard = -1, -1, Batch()
        for number in itertools.count(start, step):
            if epoch != number // self.batches_per_epoch:
                epoch, place = number // self.batches_per_epoch, -1
                rng = np.random.default_rng((self.seed, epoch))
                order = rng.permutation(len(self.paths))
                samples = [rng.permutation(self.shard_size) for _ in order]
            k, b = divmod(number % self.batches_per_epoch, per_shard)
            if k != place:
                place, shard = k, self._load(self.paths[order[k]])
            chosen = samples[k][b * self.batch_size : (b + 1) * self.batch_size]
            yield number, {name: array[chosen] for name, array in shard.items()}

    def _load(self, path: Path) -> Batch:
        shard = _arrays(path)
        lengths = {name: len(array) for name, array in shard.items()}
        if set(lengths.values()) != {self.shard_size}:
            raise ShardError(f"{path}: expected {self.shard_size} samples in every array, got {lengths}")
        return shard


def refuse_same(training: Sequence[Path], validation: Path) -> None:
    """Raise ShardError where the validation shards are trained on as well."""
    if validation.resolve() in {folder.resolve() for folder in training}:
        raise ShardError(f"{validation}: expected validation shards of another seed, got a folder that is trained on")


def _arrays(path: Path) -> Batch:
    return {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in sorted(path.glob("*.npy"))}
