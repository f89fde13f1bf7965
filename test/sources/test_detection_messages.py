"""vision_msgs without vision_msgs: what is built of a scene, and which boxes come out of a detector's message."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy_recordings

from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.detection_messages import detection_3d_array, hand_boxes


def make(msgtype: str, **fields: Any) -> Any:
    return SimpleNamespace(msgtype=msgtype, **fields)


def detection(x: float, y: float, w: float, h: float, *classes: tuple[str, float], theta: float = 0.0) -> Any:
    center = make("vision_msgs/msg/Pose2D", position=make("vision_msgs/msg/Point2D", x=x, y=y), theta=theta)
    box = make("vision_msgs/msg/BoundingBox2D", center=center, size_x=w, size_y=h)
    results = [make("", hypothesis=make("", class_id=name, score=score)) for name, score in classes]
    return make("vision_msgs/msg/Detection2D", bbox=box, results=results)


def test_objects_become_detections() -> None:
    scene = toy_recordings.scenes(2)[1]
    message = detection_3d_array(make, scene)
    (item,), (found,) = scene.objects, message.detections
    assert message.header.frame_id == found.header.frame_id == scene.frame_id
    assert (found.results[0].hypothesis.class_id, found.results[0].hypothesis.score) == (item.name, item.score)
    place = found.bbox.center.position
    np.testing.assert_allclose([place.x, place.y, place.z], item.translation)
    assert found.results[0].pose.pose == found.bbox.center
    np.testing.assert_allclose([found.bbox.size.x, found.bbox.size.y, found.bbox.size.z], item.extent)


@pytest.mark.parametrize(
    ("classes", "side", "score"),
    [
        ((), None, 1.0),
        ((("Left", 0.8),), Side.LEFT, 0.8),
        ((("hand", 0.6),), None, 0.6),
        ((("left_hand", 0.3), ("right_hand", 0.7)), Side.RIGHT, 0.7),
        ((("left_or_right", 0.5),), None, 0.5),
    ],
)
def test_the_surest_class_tells_side_and_score(
    classes: tuple[tuple[str, float], ...], side: Side | None, score: float
) -> None:
    (box,), spoilt = hand_boxes(SimpleNamespace(detections=[detection(50.0, 40.0, 20.0, 10.0, *classes)]))
    assert (box.side, box.score, spoilt) == (side, score, 0)
    assert (box.x, box.y, box.width, box.height) == (40.0, 35.0, 20.0, 10.0)


def test_a_turned_box_becomes_the_one_around_it_and_broken_ones_are_counted() -> None:
    message = SimpleNamespace(
        detections=[
            detection(50.0, 40.0, 20.0, 10.0, theta=math.pi / 2),
            detection(float("nan"), 40.0, 20.0, 10.0),
            detection(50.0, 40.0, 0.0, 10.0),
        ]
    )
    (box,), spoilt = hand_boxes(message)
    assert spoilt == 2
    assert (box.width, box.height) == pytest.approx((10.0, 20.0))
