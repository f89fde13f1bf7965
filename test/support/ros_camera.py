"""A camera that publishes small blank images over DDS. Imported after `needs_ros()`."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from ros_session import Ros, wait_for
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hand_pose_ros.msg import HandArray
from hand_pose_ros.ros.message_classes import make

WIDTH, HEIGHT = 64, 48


class Camera:
    """Publishes images of one stamp, good ones unless told otherwise.

    Without `depth` it has no depth topic; while `blind` is set, nothing comes on the topic. `base` is where its topics
    are, `answers` those of its node.
    """

    blind = False

    def __init__(
        self,
        ros: Ros,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
        *,
        depth: bool = True,
        base: str = "/camera/camera",
        answers: str = "/hand_pose/hands",
    ) -> None:
        qos = QoSProfile(depth=5, reliability=reliability)
        self._node = ros.node(Node, node_name="camera")
        self._color = self._node.create_publisher(Image, f"{base}/color/image_raw", qos)
        topic = f"{base}/aligned_depth_to_color/image_raw"
        self._depth = self._node.create_publisher(Image, topic, qos) if depth else None
        self._info = self._node.create_publisher(CameraInfo, f"{base}/color/camera_info", 5)
        self.stamp = 0
        self.answers = ros.listen(HandArray, answers)

    def connect(self) -> None:
        """Shoot good frames until the node answers the last one: nobody hears a publisher at once."""

        def answered() -> bool:
            return bool(self.answers) and self.answers[-1].header.stamp.sec == self.stamp

        wait_for(lambda: answered() or not self.shoot(), "the node to answer", pause=0.1)

    def shoot(
        self,
        info: dict[str, Any] | None = None,
        color: dict[str, Any] | None = None,
        stamp_ns: int | None = None,
        depth_alone: bool = False,
        **depth: Any,
    ) -> int:
        """Publish a frame; `info`, `color` and keywords replace fields. Returns its stamp in seconds.

        `stamp_ns` stamps it otherwise than with the next second; `depth_alone`: no colour.
        """
        self.stamp += 1
        stamp_ns = self.stamp * 10**9 if stamp_ns is None else stamp_ns
        stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id="camera_color_optical_frame")
        size = {"header": header, "width": WIDTH, "height": HEIGHT}
        k = np.array([60.0, 0, 31.5, 0, 60, 23.5, 0, 0, 1])
        if not depth_alone:
            self._info.publish(CameraInfo(**{**size, "k": k, **(info or {})}))
            picture = {"encoding": "rgb8", "step": 3 * WIDTH, "data": blank(3)}
            self._color.publish(Image(**{**size, **picture, **(color or {})}))
        if self._depth is not None and not self.blind:
            image = {**size, "encoding": "16UC1", "step": 2 * WIDTH, "data": blank(2), **depth}
            self._depth.publish(Image(**image))
        return self.stamp

    def torn(self, keep: int) -> None:
        """Publish colour and depth of which only the first bytes arrive."""
        self.stamp += 1
        stamp = make("builtin_interfaces/msg/Time", sec=self.stamp)
        header = Header(stamp=stamp, frame_id="camera_color_optical_frame")
        image = Image(header=header, width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH, data=blank(3))
        for publisher in (self._color, self._depth):
            publisher.publish(serialize_message(image)[:keep])

    def close(self) -> None:
        """Take the topics back, as a camera that is unplugged does."""
        for publisher in filter(None, (self._color, self._depth, self._info)):
            self._node.destroy_publisher(publisher)


def blank(bytes_per_pixel: int, pixels: int = WIDTH * HEIGHT) -> array.array[int]:
    return array.array("B", bytes(bytes_per_pixel * pixels))
