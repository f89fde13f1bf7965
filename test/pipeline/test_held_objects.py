from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from depth_pictures import box_depth

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.recording_objects import object_mssd
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.options import ConfigError, replace
from hand_pose_ros.pipeline.held_objects import HeldObjects, parse_symmetry
from hand_pose_ros.pipeline.scene_estimator import SceneLook
from hand_pose_ros.pipeline.scene_network import SeenObject, SeenPlaces
from hand_pose_ros.types import FloatArray, Frame, Intrinsics, ObjectEstimate

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
    named = replace(PipelineConfig(), {"object.name": "cup", "object.mesh": str(path)})
    with pytest.raises(ConfigError, match=r"object\.mesh: .*expected triangles.*or set object\.fit false"):
        HeldObjects(named, known=True)
    objects = HeldObjects(replace(named, {"object.fit": False}), known=True)
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


TURN = axis_angle_to_matrix(np.array([0.5, 0.6, 0.1]))
PLACE = np.array([0.02, -0.03, 0.5])
EXTENT = np.array([0.15, 0.1, 0.05])


def _measured(depth: FloatArray | None, options: dict[str, object]) -> tuple[list[ObjectEstimate], Counter[str]]:
    """What is given of a look whose network is 10 cm wrong and does not know how the box is turned."""
    sizes = {f"object.size_{axis}": float(size) for axis, size in zip("xyz", EXTENT, strict=True)}
    objects = HeldObjects(replace(PipelineConfig(), {**BOX, **sizes, **options}), known=True)
    row, column = np.nonzero(box_depth(CAMERA, EXTENT, TURN, PLACE))
    some = np.linspace(0, len(row) - 1, 12).astype(int)[2:-2]
    places = SeenPlaces(np.stack([column[some], row[some]], axis=1).astype(np.float64), np.full(len(some), 0.8))
    look = SceneLook((), WRIST, SeenObject(np.eye(3), PLACE - WRIST + np.array([0.1, 0, 0]), 0.7, places))
    frame, dropped = Frame(0, "camera", CAMERA, FRAME.color, depth), Counter[str]()
    return list(objects.seen([look], frame, dropped)), dropped


def test_with_depth_it_lies_where_it_was_measured() -> None:
    depth = box_depth(CAMERA, EXTENT, TURN, PLACE)
    ((box,), dropped) = _measured(depth, {})
    truth = ObjectEstimate("box", TURN.astype(np.float32), PLACE.astype(np.float32), EXTENT.astype(np.float32), 1.0)
    assert object_mssd(box, truth) < 0.012 and not dropped and box.score == pytest.approx(0.7)
    for other, options in ((None, {}), (depth, {"object.fit": False})):
        ((box,), dropped) = _measured(other, options)
        np.testing.assert_allclose(box.translation, PLACE + np.array([0.1, 0, 0]), atol=1e-6)
        assert object_mssd(box, truth) > 0.1 and not dropped


def test_what_was_not_measured_is_not_given() -> None:
    given, dropped = _measured(np.zeros((480, 640), dtype=np.float32), {})
    assert given == [] and dropped == {"object_not_measured": 1}
