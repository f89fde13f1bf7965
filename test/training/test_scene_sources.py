"""Scenes to train on: data sets of real hands in the form of the shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_two_hands as toy

torch = pytest.importorskip("torch")

from hand_pose_ros.datasets.base import Reading  # noqa: E402
from hand_pose_ros.datasets.scenes import open_scenes  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation, scene_crops  # noqa: E402
from hand_pose_ros.training.scene_sources import (  # noqa: E402
    PIXELS,
    SceneData,
    dataset_scenes,
    open_sources,
    scene_record,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    toy.write_h2o3d(root / "h2o3d")
    toy.write_rhd(root / "rhd", samples=9)
    toy.write_interhand(root / "interhand", parts=("train", "val", "test"))
    return root


def test_a_record_holds_the_scene(root: Path) -> None:
    """Joints and the object lie in the stored picture where its own camera sees them, and crops are cut of it."""
    sample = open_scenes("h2o3d", root / "h2o3d", "train", reading=Reading(depth=False))[0]
    record = scene_record(sample)
    assert record["color"].shape == (PIXELS, PIXELS, 3) and record["mask"].any()
    fx, fy, cx, cy = record["intrinsics"]
    points = sample.joints[sample.valid]
    pixels = points[:, :2] / points[:, 2:] * (fx, fy) + (cx, cy)
    assert (pixels > 0.2 * PIXELS).all() and (pixels < 0.8 * PIXELS).all()
    batch = {name: array[None] for name, array in record.items()}
    crops = scene_crops(batch, np.random.default_rng(0), VALIDATION, 96)
    assert crops.valid[0].numpy().tolist() == sample.valid.tolist()
    np.testing.assert_allclose(crops.joints[0], sample.joints, atol=1e-6)
    assert sample.object is not None and crops.object_box is not None
    np.testing.assert_allclose(crops.object_box[0], sample.object.box)
    # The mustard bottle is alike after half a turn; the other places hold the identity.
    assert torch.allclose(crops.object_symmetries[0, 1], torch.diag(torch.tensor([-1.0, -1, 1])), atol=1e-6)
    assert torch.equal(crops.object_symmetries[0, 2], torch.eye(3)) and crops.object_weight.tolist() == [1]
    mirrored = scene_crops(batch, np.random.default_rng(0), SceneAugmentation(mirror=1.0), 96)
    assert mirrored.object_weight.tolist() == [0], "no model is its own mirror image"


@pytest.mark.parametrize(("name", "counts"), [("interhand", (12, 12)), ("rhd", None), ("h2o3d", None)])
def test_splits(root: Path, name: str, counts: tuple[int, int] | None) -> None:
    sources = open_sources(SceneData((name,), root=root / name), 2, 0)
    first, second = (next(sources.training.batches(start))[1] for start in (0, 0))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert first["color"].shape == (2, PIXELS, PIXELS, 3) and sources.count >= 1
    assert {"joints", "present", "valid", "object_present"} <= set(first)
    if counts is not None:
        assert sources.batches_per_epoch == counts[0] // 2 and sources.count == counts[1] // 2


def test_every_sample_once_per_epoch(root: Path) -> None:
    data = open_scenes("rhd", root / "rhd", "train", reading=Reading(depth=False))
    stream = dataset_scenes(data, 3, 0)
    seen = [batch["joints"].sum() for (number, batch), _ in zip(stream.batches(), range(3), strict=False) if number < 3]
    assert len(seen) == 3 == stream.batches_per_epoch
    again = [batch["joints"].sum() for (_, batch), _ in zip(stream.batches(3), range(3), strict=False)]
    assert sum(seen) == pytest.approx(sum(again), rel=1e-4) and seen != again


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (SceneData(("interhand",)), "--root: expected the folder"),
        (SceneData(("interhand",), split="test"), "neither trained on"),
        (SceneData(("h2o3d",), validation_split="evaluation"), "neither trained on"),
        (SceneData(("rhd",), split="evaluation"), "neither trained on"),
        (SceneData(("somewhere",)), "--validation: expected a folder of shards"),
    ],
)
def test_what_is_refused(root: Path, given: SceneData, text: str) -> None:
    if text.startswith("neither"):
        given = SceneData(
            given.data, root=root / given.data[0], split=given.split, validation_split=given.validation_split
        )
    with pytest.raises(TrainingError, match=text):
        open_sources(given, 2, 0)
