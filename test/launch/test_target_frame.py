"""Results in a frame that moves against the camera: the transform of the image's own instant is taken, or none."""

from __future__ import annotations

import os

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

from collections.abc import Iterator

import pytest
from needs import needs

needs(
    "tf2_ros",
    "hand_pose_ros.msg",
    remedy="python3 scripts/setup_ros_jazzy.py VENV && . VENV/ros_env.sh && pytest test/launch",
)

import fake_pipeline
import toy_recordings
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from ros_camera import Camera
from ros_session import Ros, wait_for
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hand_pose_ros.ros.node import HandPoseNode
from hand_pose_ros.types import Scene

HAND = toy_recordings.scenes(1)[0].hands[0]


@pytest.fixture
def ros() -> Iterator[Ros]:
    context = Ros()
    yield context
    context.close()


def at(half_seconds: int) -> TFMessage:
    """The camera in base_link, which it leaves along x at one metre per second."""
    stamp = Time(sec=half_seconds // 2, nanosec=500_000_000 * (half_seconds % 2))
    header = Header(stamp=stamp, frame_id="base_link")
    pose = Transform(translation=Vector3(x=half_seconds / 2.0), rotation=Quaternion(w=1.0))
    return TFMessage(
        transforms=[TransformStamped(header=header, child_frame_id="camera_color_optical_frame", transform=pose)]
    )


def test_the_transform_is_that_of_the_image(ros: Ros, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images stand between two transforms, half a second from both: tf2 interpolates to where the camera was."""
    fake_pipeline.installed(monkeypatch, [Scene(0, "", (HAND,))])
    parameters = {"publish.target_frame": "base_link", "publish.diagnostics_period": 60.0}
    node = ros.node(HandPoseNode, parameters=parameters)
    node.start()
    ros.spin(node)
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    camera = Camera(ros)
    wait_for(lambda: node.monitor.totals().drops["no_transform"] > 0 or not camera.shoot(), "the drop", pause=0.1)
    assert not camera.answers and "'base_link'" in logged[0]
    robot = ros.node(Node, node_name="robot").create_publisher(TFMessage, "/tf", 10)

    def answered() -> bool:
        for half_seconds in (2 * camera.stamp + 1, 2 * camera.stamp + 3):
            robot.publish(at(half_seconds))
        camera.shoot()
        return len(camera.answers) >= 5

    wait_for(answered, "results", pause=0.1)
    for message in camera.answers:
        assert message.header.frame_id == "base_link"
        expected = float(HAND.joints[0, 0]) + message.header.stamp.sec
        assert message.hands[0].wrist.position.x == pytest.approx(expected, abs=1e-4)
