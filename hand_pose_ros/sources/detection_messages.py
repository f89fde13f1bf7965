"""Objects as vision_msgs messages, and boxes of hands out of them, without ROS (see `scene_messages` for `make`).

vision_msgs 4 (Humble to Rolling); the types are not among rosbags' standard ones, so these are for the live node.
"""

from __future__ import annotations

import math
from typing import Any, Final

from hand_pose_ros.pipeline.outside import HandBox
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.scene_messages import Make, header_of, object_pose, vector
from hand_pose_ros.types import ObjectEstimate, Scene

DETECTION_3D_ARRAY: Final = "vision_msgs/msg/Detection3DArray"
DETECTION_2D_ARRAY: Final = "vision_msgs/msg/Detection2DArray"


def detection_3d_array(make: Make, scene: Scene) -> Any:
    """Detection3DArray of all objects: the name is the `class_id`, the box has the object's own axes.

    The covariance is left at zero, since no network gives one; `id` is empty, since objects are not followed.
    """
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    found = [_detection_3d(make, item, header) for item in scene.objects]
    return make(DETECTION_3D_ARRAY, header=header, detections=found)


def hand_boxes(message: Any) -> tuple[list[HandBox], int]:
    """The boxes of a Detection2DArray, and how many were left out because they are none (NaN, no area).

    Every detection counts as a hand, whatever its class: a box only says where to look closely. A class with "left" or
    "right" in its name tells the side. A turned box becomes the upright one around it.
    """
    boxes, spoilt = [], 0
    for detection in message.detections:
        box, best = detection.bbox, max(detection.results, key=lambda item: item.hypothesis.score, default=None)
        name, score = ("", 1.0) if best is None else (best.hypothesis.class_id, best.hypothesis.score)
        c, s = abs(math.cos(box.center.theta)), abs(math.sin(box.center.theta))
        size = (c * box.size_x + s * box.size_y, s * box.size_x + c * box.size_y)
        middle = box.center.position
        try:
            boxes.append(HandBox.around(middle.x, middle.y, *size, _side_in(name), score))
        except ValueError:
            spoilt += 1
    return boxes, spoilt


def _side_in(name: str) -> Side | None:
    named = [side for side in Side if side.value in name.lower()]
    return named[0] if len(named) == 1 else None


def _detection_3d(make: Make, item: ObjectEstimate, header: Any) -> Any:
    place = object_pose(make, item)
    hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=item.name, score=float(item.score))
    result = make(
        "vision_msgs/msg/ObjectHypothesisWithPose",
        hypothesis=hypothesis,
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=place),
    )
    box = make("vision_msgs/msg/BoundingBox3D", center=place, size=vector(make, "Vector3", item.extent))
    return make("vision_msgs/msg/Detection3D", header=header, results=[result], bbox=box)
