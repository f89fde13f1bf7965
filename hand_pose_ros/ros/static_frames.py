"""Where the sensors of a camera are fixed to each other, from /tf_static.

Listening to /tf as well, as tf2 does, would cost a Python callback per joint state of the robot; the lenses of one
camera do not move against each other.
"""

from __future__ import annotations

from typing import Final

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from hand_pose_ros.geometry.registration import Extrinsics
from hand_pose_ros.sources.static_tree import TF_STATIC, NoTransform, StaticTree

__all__ = ["NoTransform", "StaticFrames"]

# That of tf2_ros.TransformListener for /tf_static.
_QOS: Final = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class StaticFrames:
    """The tree of /tf_static, heard by `node`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tree = StaticTree()
        self._subscription = node.create_subscription(TFMessage, TF_STATIC, self._on_frames, _QOS)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def between(self, source: str, target: str) -> Extrinsics:
        """See `StaticTree.between`.

        Raises:
            NoTransform: the two are not fixed to each other.
        """
        return self._tree.between(source, target)

    def _on_frames(self, message: TFMessage) -> None:
        self._tree.add(message.transforms)
