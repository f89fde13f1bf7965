"""Results in another frame than the camera's, looked up with tf2."""

from __future__ import annotations

from typing import Final

from rclpy.duration import Duration
from rclpy.node import Node

from hand_pose_ros.config import ConfigError
from hand_pose_ros.ros.messages import time_message
from hand_pose_ros.ros.tf import move_scene
from hand_pose_ros.types import Scene

# A transform of the same instant may come a little after the image; longer waits would add to the latency.
_PATIENCE: Final = 0.05


class NoTransform(RuntimeError):
    """tf2 does not know the way; the text is tf2's own."""


class TargetFrame:
    """Listens to TF and moves scenes into one frame.

    Raises:
        ConfigError: tf2_ros is not installed.
    """

    def __init__(self, node: Node, frame: str) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise ConfigError(
                f"publish.target_frame: expected tf2_ros to be installed to look up {frame!r}, got: {error}; "
                "install ros-<distro>-tf2-ros or leave target_frame empty"
            ) from error
        self._frame = frame
        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def move(self, scene: Scene) -> Scene:
        """The scene in the target frame, at its own stamp. Called outside the executor's thread: it may wait.

        Raises:
            NoTransform: there is no transform for this instant.
        """
        from rclpy.time import Time

        stamp = Time.from_msg(time_message(scene.stamp_ns))
        try:
            transform = self._buffer.lookup_transform(
                self._frame, scene.frame_id, stamp, timeout=Duration(seconds=_PATIENCE)
            )
        except self._error as error:
            raise NoTransform(f"no transform from {scene.frame_id!r} to {self._frame!r}: {error}") from error
        return move_scene(scene, transform)
