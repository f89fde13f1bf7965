"""Boxes of hands from another detector, by topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from hand_pose_ros.pipeline.outside import HandBox
from hand_pose_ros.ros.inputs import BEST_EFFORT
from hand_pose_ros.ros.vision import vision_class
from hand_pose_ros.sources.detection_messages import DETECTION_2D_ARRAY, hand_boxes
from hand_pose_ros.sources.scene_messages import stamp_of
from hand_pose_ros.types import InvalidData

OPTION = "topics.hand_boxes"


class BoxInput:
    """A subscription to Detection2DArray.

    Args:
        node: subscribes.
        topic: its name.
        deliver: called in the executor's thread with the boxes of an image and its stamp (ns).
        refused: called with what is wrong with a message, or with boxes of it.

    Raises:
        ConfigError: vision_msgs is not installed.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        deliver: Callable[[list[HandBox], int], None],
        refused: Callable[[InvalidData], None],
    ) -> None:
        self._node = node
        self._deliver = deliver
        self._refused = refused
        kind = vision_class(OPTION, DETECTION_2D_ARRAY)
        self._subscription = node.create_subscription(kind, topic, self._on_message, BEST_EFFORT)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_message(self, message: Any) -> None:
        stamp_ns = stamp_of(message.header)
        if not stamp_ns:
            self._refused(InvalidData(f"{OPTION}: expected the stamp of the image in the header, got 0"))
            return
        boxes, spoilt = hand_boxes(message)
        if spoilt:
            self._refused(InvalidData(f"{OPTION}: expected finite boxes with an area, got others among them"))
        self._deliver(boxes, stamp_ns)
