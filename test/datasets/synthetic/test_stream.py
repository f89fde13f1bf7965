from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic import shards, stream
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.datasets.synthetic.stream import CropStream

CONFIG = SyntheticConfig(negatives=0.3)


@pytest.fixture(autouse=True)
def _shared_renderer(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_renderer", renderer)


def taken(made: CropStream, count: int, start: int = 0, step: int = 1) -> list[tuple[int, stream.Batch]]:
    return list(itertools.islice(made.batches(start, step), count))


def test_a_stream_has_the_arrays_of_a_shard() -> None:
    [(_, batch)] = taken(CropStream(CONFIG, 3, batch_size=2), 1)
    [record] = list(shards.make_records("crops", 0, 0, 1, CONFIG))
    assert {name: (array.shape[1:], array.dtype) for name, array in batch.items()} == {
        name: (value.shape, value.dtype) for name, value in record.items()
    }


def test_samples_depend_on_seed_and_place_only() -> None:
    """Whatever the batch size and wherever it is started."""
    by_two, by_three = taken(CropStream(CONFIG, 3, batch_size=2), 3), taken(CropStream(CONFIG, 3, batch_size=3), 2)
    later = taken(CropStream(CONFIG, 3, batch_size=2), 1, start=2)
    skipping = taken(CropStream(CONFIG, 3, batch_size=2), 2, start=0, step=2)
    assert [number for number, _ in skipping] == [0, 2]
    for name in by_two[0][1]:
        whole = np.concatenate([batch[name] for _, batch in by_two])
        assert np.array_equal(whole, np.concatenate([batch[name] for _, batch in by_three]))
        assert np.array_equal(whole[4:], later[0][1][name])
        assert np.array_equal(whole[4:], skipping[1][1][name])
    assert len({color.tobytes() for color in np.concatenate([b["color"] for _, b in by_two])}) == 6
    other = taken(CropStream(CONFIG, 4, batch_size=2), 1)
    assert not np.array_equal(other[0][1]["color"], by_two[0][1]["color"])


@pytest.mark.parametrize("room", [2**40, 0])
def test_workers_draw_the_same(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through shared memory, and through pipes where there is too little of it."""
    monkeypatch.setattr(stream, "_shared_memory_left", lambda: room)
    alone = taken(CropStream(CONFIG, 5, batch_size=3), 3, start=1)
    with CropStream(CONFIG, 5, workers=1, batch_size=3, ahead=2) as made:
        shared = taken(made, 3, start=1)
    assert [number for number, _ in shared] == [1, 2, 3]
    for (_, first), (_, second) in zip(alone, shared, strict=True):
        assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("change", "value"), [("workers", -1), ("batch_size", 0), ("ahead", -1)])
def test_impossible_streams_are_refused(change: str, value: int) -> None:
    with pytest.raises(ValueError, match=change):
        CropStream(CONFIG, 0, **{change: value})


def test_a_dead_worker_is_explained() -> None:
    with CropStream(CONFIG, 0, workers=1, batch_size=2, ahead=1) as made:
        batches = made.batches()
        next(batches)
        assert made._pool is not None
        for process in made._pool._processes.values():
            process.kill()
        with pytest.raises(RuntimeError, match="fewer workers"):
            for _ in range(20):
                next(batches)


_KILLED = """
import os, signal
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.datasets.synthetic.stream import CropStream
if __name__ == "__main__":
    stream = CropStream(SyntheticConfig(), 0, workers=1, batch_size=1, ahead=1)
    next(stream.batches())
    print(*stream._pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_killed_training(tmp_path: Path) -> None:
    """Once they waited for ever."""
    script = tmp_path / "training.py"
    script.write_text(_KILLED)
    ended = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    (worker,) = (Path(f"/proc/{number}/stat") for number in ended.stdout.split())
    for _ in range(200):
        # Gone, or dead and not yet collected by whoever inherited it.
        if not worker.exists() or worker.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"{worker} is still there")
