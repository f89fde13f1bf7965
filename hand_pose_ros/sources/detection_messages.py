"""Objects as vision_msgs messages, and boxes of hands out of them, without ROS (see `scene_messages` for `make`).

vision_msgs 4 (Humble to Rolling); the types are not among rosbags' standard ones, so these are for the live node.
"""

from __future__ import annotations

from typing import Any, Final

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
