from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic import shards
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig


@pytest.fixture(autouse=True)
def _shared_renderer(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_renderer", renderer)


@pytest.mark.parametrize("kind", shards.KINDS)
def test_a_shard_is_the_same_every_time(kind: str, tmp_path: Path) -> None:
    config = SyntheticConfig()
    first = shards.write_shard(tmp_path / "a", kind, 1, 2, 4, config)
    second = shards.write_shard(tmp_path / "b", kind, 1, 2, 4, config)
    other = shards.write_shard(tmp_path / "c", kind, 1, 3, 4, config)
    names = sorted(path.name for path in first.iterdir())
    own = {"mask.npy", "box.npy", "present.npy"} if kind == "scenes" else {"depth.npy", "center.npy"}
    assert {"color.npy", "intrinsics.npy", "joints.npy", "visible.npy"} | own <= set(names)
    for name in names:
        assert np.array_equal(np.load(first / name), np.load(second / name))
        assert len(np.load(first / name, mmap_mode="r")) == 4
    assert not np.array_equal(np.load(first / "color.npy"), np.load(other / "color.npy"))
    assert [path.name for path in (tmp_path / "a").iterdir()] == [f"{kind}-000002"]


def test_finished_shards_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_SIZE", 4)
    (tmp_path / "crops-000000").mkdir()
    (tmp_path / "crops-000001").mkdir()
    made: list[Path] = []
    shards.write_shards(tmp_path, "crops", 8, 0, on_shard=made.append)
    assert made == []


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="crops"):
        shards.write_shards(tmp_path, "croups", 8, 0)


def test_sizes_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shards.shard_sizes(2500) == [1024, 1024, 452]


def test_depth_is_stored_in_tenths_of_millimetres() -> None:
    packed = shards.pack_depth(np.array([0.0, 0.12345, 6.5, 7.0], dtype=np.float32))
    assert packed.tolist() == [0, 1234, 65000, 0] or packed.tolist() == [0, 1235, 65000, 0]
