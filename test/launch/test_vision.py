"""Exchange with programs that speak vision_msgs, which only the whole runtime has."""

from __future__ import annotations

import os

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

from collections.abc import Iterator

import pytest
from needs import needs

needs(
    "vision_msgs.msg",
    "hand_pose_ros.msg",
    remedy="python3 scripts/setup_ros_jazzy.py VENV && . VENV/ros_env.sh && pytest test/launch",
)

import fake_pipeline
import toy_recordings
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from ros_camera import Camera
from ros_session import Ros, wait_for
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
)

from hand_pose_ros.ros.node import HandPoseNode
from hand_pose_ros.skeleton import Side

TOPIC = "/detector/detections"


@pytest.fixture
def ros() -> Iterator[Ros]:
    context = Ros()
    yield context
    context.close()


def message(stamp: int, *widths: float) -> Detection2DArray:
    """Boxes of left hands about (30, 20)."""
    array = Detection2DArray()
    array.header.stamp.sec = stamp
    for width in widths:
        box = BoundingBox2D(center=Pose2D(position=Point2D(x=30.0, y=20.0)), size_x=width, size_y=8.0)
        result = ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id="left hand", score=0.75))
        array.detections.append(Detection2D(bbox=box, results=[result]))
    return array


def test_objects_go_out_and_boxes_come_in(ros: Ros, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = toy_recordings.scenes(2)[1]
    pipelines = fake_pipeline.installed(monkeypatch, [scene])
    detections = ros.listen(Detection3DArray, "/hand_pose/detections")
    node = ros.node(HandPoseNode, parameters={"topics.hand_boxes": TOPIC, "publish.diagnostics_period": 60.0})
    node.start()
    ros.spin(node)
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)

    camera = Camera(ros)
    wait_for(lambda: bool(detections) or not camera.shoot(), "detections", pause=0.1)
    (found,) = detections[-1].detections
    assert found.results[0].hypothesis.class_id == scene.objects[0].name
    assert found.bbox.size.z == pytest.approx(float(scene.objects[0].extent[2]))
    assert found.header.frame_id == "camera_color_optical_frame"

    (pipeline,) = pipelines
    detector = ros.node(Node, node_name="detector").create_publisher(Detection2DArray, TOPIC, qos_profile_sensor_data)

    def heard() -> bool:
        detector.publish(message(7, 10.0, -1.0))
        detector.publish(message(0, 10.0))
        return bool(pipeline.boxes) and len(logged) >= 2

    wait_for(heard, "the boxes, and what is wrong with some", pause=0.1)
    boxes, stamp_ns = pipeline.boxes[0]
    assert stamp_ns == 7 * 10**9
    assert [(box.x, box.y, box.width, box.height, box.side, box.score) for box in boxes] == [
        (25.0, 16.0, 10.0, 8.0, Side.LEFT, 0.75)
    ]
    assert "with an area" in logged[0] + logged[1] and "got 0" in logged[0] + logged[1]
