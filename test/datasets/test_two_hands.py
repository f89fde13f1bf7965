"""The sample of a scene: its checks, what follows from it, and the box a crop is made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import toy_two_hands as toy
from toy_datasets import CAMERA

from hand_pose_ros.datasets.base import SampleKey
from hand_pose_ros.datasets.two_hands import ObjectTruth, SceneSample, scene_box
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.types import BoundingBox, InvalidData


def scene(**changed: object) -> SceneSample:
    sample = SceneSample(
        dataset="toy",
        key=SampleKey("a", "1"),
        intrinsics=CAMERA,
        rgb=None,
        depth=np.zeros((480, 640), dtype=np.float32),
        joints=toy.toy_hands(3),
        valid=np.ones((2, 21), dtype=bool),
        present=np.ones(2, dtype=bool),
    )
    return dataclasses.replace(sample, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"joints": np.zeros((21, 3), np.float32)}, r"a/1 joints: expected shape \(2, 21, 3\)"),
        ({"joints": np.zeros((2, 21, 3))}, "expected dtype float32"),
        ({"joints": np.full((2, 21, 3), np.nan, np.float32)}, "NaN"),
        ({"valid": np.zeros((2, 21), bool)}, "expected 0 where valid is False"),
        ({"valid": np.ones((2, 21))}, "expected dtype bool"),
        ({"present": np.ones(1, bool)}, r"present: expected shape \(2,\)"),
        ({"rgb": np.zeros((640, 480, 3), np.uint8)}, r"rgb: expected shape \(480, 640, 3\)"),
        ({"object_mask": np.zeros((240, 320), bool)}, "object_mask"),
        ({"hand_masks": np.zeros((480, 640), bool)}, "hand_masks"),
    ],
)
def test_what_breaks_the_conventions_is_refused(changed: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidData, match=says):
        scene(**changed)


def test_wrists_and_translation() -> None:
    sample = scene()
    assert sample.wrists is not None and sample.hand_translation is not None and sample.interacting
    np.testing.assert_allclose(sample.wrists[0] + sample.hand_translation, sample.joints[1, 0], rtol=1e-6)
    assert sample.frame(5).stamp_ns == 5


def test_the_box_holds_joints_and_object() -> None:
    place = np.array([0.2, 0.1, 0.6], np.float32)
    thing = ObjectTruth("box", np.eye(3, dtype=np.float32), place, toy.BOX.astype(np.float32))
    sample = scene(object=thing)
    box = scene_box(sample)
    assert box is not None
    pixels = np.concatenate([project(sample.joints.reshape(-1, 3), CAMERA), project(thing.corners, CAMERA)])
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    assert (box.x, box.y) == pytest.approx(tuple(low - 10))
    assert (box.x + box.width, box.y + box.height) == pytest.approx(tuple(high + 10))


def test_the_data_sets_own_boxes_come_first() -> None:
    own = BoundingBox(1, 2, 3, 4)
    assert scene_box(scene(box=own)) == own
    both = scene(boxes=(BoundingBox(100, 50, 20, 20), BoundingBox(60, 70, 10, 30)))
    assert scene_box(both, margin=0) == BoundingBox(60, 50, 60, 50)


def test_no_box_without_anything_before_the_camera() -> None:
    hidden = np.zeros((2, 21), bool)
    assert scene_box(scene(joints=np.zeros((2, 21, 3), np.float32), valid=hidden)) is None
    behind = toy.toy_hands(3) - np.float32([0, 0, 5])
    assert scene_box(scene(joints=behind)) is None
