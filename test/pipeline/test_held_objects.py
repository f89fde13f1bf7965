from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.options import ConfigError, replace
from hand_pose_ros.pipeline.held_objects import HeldObjects, parse_symmetry
from hand_pose_ros.pipeline.scene_estimator import SceneLook
from hand_pose_ros.pipeline.scene_network import SeenObject
from hand_pose_ros.types import Frame, Intrinsics

CAMERA = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)
FRAME = Frame(0, "camera", CAMERA, np.zeros((480, 640, 3), np.uint8))


@pytest.mark.parametrize(
    ("text", "count"), [("", 1), ("z2", 2), ("z2 x2", 4), ("z2, x2", 4), ("y4", 4), ("z*", 72), ("x2 z*", 144)]
)
def test_symmetries_are_read(text: str, count: int) -> None:
    assert len(parse_symmetry(text).rotations()) == count


@pytest.mark.parametrize("text", ["q2", "z", "z1", "2", "z* y*", "z-2", "round"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"object\.symmetry"):
        parse_symmetry(text)


def test_a_mesh_tells_the_size_about_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "cup.obj"
    path.write_text("v -0.1 0 0\nv 0.05 0.02 -0.03\nv 0 0 0.01\n")
    objects = HeldObjects(replace(PipelineConfig(), {"object.name": "cup", "object.mesh": str(path)}), known=True)
    look = SceneLook((), np.array([0.0, 0.0, 0.5]), SeenObject(np.eye(3), np.array([0.1, 0.0, 0.1]), 0.8))
    (cup,) = objects.seen([look], FRAME, Counter())
    np.testing.assert_allclose(cup.extent, [0.2, 0.04, 0.06], atol=1e-7)
    np.testing.assert_allclose(cup.translation, [0.1, 0.0, 0.6], atol=1e-7)
    pixels = objects.pixels(CAMERA)
    assert pixels is not None and pixels.shape == (8, 2)
    objects.reset()
    assert objects.pixels(CAMERA) is None
    with pytest.raises(ConfigError, match=r"object\.mesh: .*cannot be read"):
        HeldObjects(replace(PipelineConfig(), {"object.name": "cup", "object.mesh": str(tmp_path / "no.obj")}), True)


BOX = {"object.name": "box", "object.size_x": 0.1, "object.size_y": 0.1, "object.size_z": 0.1}
WRIST = np.array([0.0, 0.0, 0.5])


@pytest.mark.parametrize(
    ("wrist", "place", "presence", "count"),
    [
        (WRIST, [0.0, 0.0, 0.1], 0.6, 1),
        (WRIST, [0.0, 0.0, 0.1], 0.4, 0),
        (WRIST, [0.0, 0.0, -0.6], 0.9, 0),
        (None, [0.0, 0.0, 0.1], 0.9, 0),
    ],
)
def test_objects_that_are_given(wrist: np.ndarray | None, place: list[float], presence: float, count: int) -> None:
    objects = HeldObjects(replace(PipelineConfig(), BOX), known=True)
    look = SceneLook((), wrist, SeenObject(np.eye(3), np.array(place), presence))
    assert len(objects.seen([look], FRAME, Counter())) == count
    assert objects.seen([SceneLook((), WRIST, None)], FRAME, Counter()) == ()
