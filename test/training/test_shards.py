"""Batches depend on the seed and the number alone, and an epoch shows every sample once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.training.shards import ShardError, ShardStream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(3):
        path = tmp_path / f"crops-{shard:06d}"
        path.mkdir()
        np.save(path / "number.npy", np.arange(8) + 8 * shard)
        np.save(path / "square.npy", (np.arange(8) + 8 * shard) ** 2)
    return tmp_path


def take(stream: ShardStream, count: int, start: int = 0) -> list[np.ndarray]:
    batches = []
    for number, batch in stream.batches(start):
        if number >= start + count:
            break
        assert np.array_equal(batch["number"] ** 2, batch["square"])
        batches.append(np.asarray(batch["number"]))
    return batches


def test_an_epoch_shows_every_sample_once(folder: Path) -> None:
    stream = ShardStream(folder, 4, seed=1)
    assert stream.batches_per_epoch == 6
    assert sorted(np.concatenate(take(stream, 6))) == list(range(24))
    assert sorted(np.concatenate(take(stream, 6, start=6))) == list(range(24))


@pytest.mark.parametrize("start", [1, 2, 5, 6, 7, 13])
def test_a_resumed_stream_goes_on_as_the_whole_one(folder: Path, start: int) -> None:
    whole = take(ShardStream(folder, 4, seed=1), start + 8)
    resumed = take(ShardStream(folder, 4, seed=1), 8, start)
    assert all(np.array_equal(a, b) for a, b in zip(whole[start:], resumed, strict=True))


def test_epochs_and_seeds_differ(folder: Path) -> None:
    first, second = take(ShardStream(folder, 8, seed=1), 3), take(ShardStream(folder, 8, seed=1), 3, start=3)
    other = take(ShardStream(folder, 8, seed=2), 3)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))


def test_unusable_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ShardError, match="hand_pose synth"):
        ShardStream(empty, 4, seed=0)
    with pytest.raises(ShardError, match="at least 9"):
        ShardStream(folder, 9, seed=0)
    np.save(folder / "crops-000001" / "square.npy", np.arange(5))
    with pytest.raises(ShardError, match="8 samples in every array"):
        take(ShardStream(folder, 4, seed=0), 6)
