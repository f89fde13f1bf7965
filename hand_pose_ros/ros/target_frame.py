"""Results in another frame than the camera's, looked up with tf2."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from hand_pose_ros.geometry.wrist import quaternion_to_matrix, wrist_pose
from hand_pose_ros.options import ConfigError
from hand_pose_ros.ros.static_frames import NoTransform
from hand_pose_ros.types import DoubleArray, HandEstimate, ObjectEstimate, Scene

# A transform of the same instant may come a little after the image; longer waits would add to the latency.
_PATIENCE: Final = 0.05


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
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def move(self, scene: Scene) -> Scene:
        """The scene in the target frame, at its own stamp. Called outside the executor's thread: it may wait.

        Raises:
            NoTransform: there is no transform for this instant.
        """
        stamp = Time(nanoseconds=scene.stamp_ns)
        try:
            transform = self._buffer.lookup_transform(
                self._frame, scene.frame_id, stamp, timeout=Duration(seconds=_PATIENCE)
            )
        except self._error as error:
            raise NoTransform(f"no transform from {scene.frame_id!r} to {self._frame!r}: {error}") from error
        return move_scene(scene, transform)


def move_scene(scene: Scene, transform: Any) -> Scene:
    """A scene in the frame of the header of `transform` (TransformStamped), from the frame the scene is in.

    Parameters of the hand model are left out: their translation depends on the model's rest pose, so they are only
    given in the camera's own frame.
    """
    q, t = transform.transform.rotation, transform.transform.translation
    quaternion = np.array([q.x, q.y, q.z, q.w])
    rotation = quaternion_to_matrix(quaternion / np.linalg.norm(quaternion))
    translation = np.array([t.x, t.y, t.z])
    return dataclasses.replace(
        scene,
        frame_id=transform.header.frame_id,
        hands=tuple(_move_hand(hand, rotation, translation) for hand in scene.hands),
        objects=tuple(_move_object(item, rotation, translation) for item in scene.objects),
    )


def _move_hand(hand: HandEstimate, rotation: DoubleArray, translation: DoubleArray) -> HandEstimate:
    joints = (hand.joints @ rotation.T + translation).astype(np.float32)
    vertices = hand.vertices
    if vertices is not None:
        vertices = (vertices @ rotation.T + translation).astype(np.float32)
    return dataclasses.replace(hand, joints=joints, vertices=vertices, wrist=wrist_pose(joints, hand.side), mano=None)


def _move_object(item: ObjectEstimate, rotation: DoubleArray, translation: DoubleArray) -> ObjectEstimate:
    return dataclasses.replace(
        item,
        rotation=(rotation @ item.rotation).astype(np.float32),
        translation=(rotation @ item.translation + translation).astype(np.float32),
    )
