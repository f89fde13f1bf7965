"""How the sensors of a camera are fixed to each other: the tree that /tf_static tells, live or in a recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from hand_pose_ros.geometry.registration import Extrinsics
from hand_pose_ros.geometry.wrist import quaternion_to_matrix
from hand_pose_ros.types import DoubleArray

TF_STATIC: Final = "/tf_static"
_NO_TURN: Final = 1e-6


class NoTransform(RuntimeError):
    """There is no way from one frame to another; the text says which."""


class StaticTree:
    """Frames and their parents. `add` and `between` may be called from different threads."""

    def __init__(self) -> None:
        # child -> parent, and the child's pose (4, 4) in it. Replaced as a whole, never changed.
        self._parents: dict[str, tuple[str, DoubleArray]] = {}
        self._found: dict[tuple[str, str], Extrinsics] = {}

    def add(self, transforms: Iterable[Any]) -> None:
        """Take in geometry_msgs/TransformStamped; those that are none (no rotation, NaN) are left out."""
        parents = dict(self._parents)
        for item in transforms:
            if (matrix := _matrix(item.transform)) is not None:
                parents[_plain(item.child_frame_id)] = (_plain(item.header.frame_id), matrix)
        self._parents, self._found = parents, {}

    def between(self, source: str, target: str) -> Extrinsics:
        """From `source` to `target`: p_target = rotation @ p_source + translation. The same object while it holds.

        Raises:
            NoTransform: the two are not fixed to each other.
        """
        found = self._found
        if (source, target) not in found:
            parents = self._parents
            from_source, from_target = _chain(parents, source), _chain(parents, target)
            common = next((name for name in from_source if name in from_target), None)
            if common is None:
                raise NoTransform(
                    f"no transform from {source!r} to {target!r} on {TF_STATIC}; let the camera publish it "
                    "(realsense: publish_tf:=true), or give it with static_transform_publisher"
                )
            matrix = np.linalg.inv(from_target[common]) @ from_source[common]
            found[source, target] = Extrinsics(matrix[:3, :3], matrix[:3, 3])
        return found[source, target]


def _chain(parents: dict[str, tuple[str, DoubleArray]], frame: str) -> dict[str, DoubleArray]:
    """The pose of `frame` in itself, in its parent, and so on to the root; a circle ends where it closes."""
    name = _plain(frame)
    chain = {name: np.eye(4)}
    while name in parents and parents[name][0] not in chain:
        parent, pose = parents[name]
        chain[parent] = pose @ chain[name]
        name = parent
    return chain


def _matrix(transform: Any) -> DoubleArray | None:
    """(4, 4), or None where the transform is none (a quaternion that was never filled in, NaN)."""
    q, t = transform.rotation, transform.translation
    quaternion = np.array([q.x, q.y, q.z, q.w])
    length = np.linalg.norm(quaternion)
    if not length > _NO_TURN:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = quaternion_to_matrix(quaternion / length)
    matrix[:3, 3] = (t.x, t.y, t.z)
    return matrix if np.isfinite(matrix).all() else None


def _plain(frame: str) -> str:
    """Frame names of ROS 1 began with a slash, and some drivers still write it."""
    return frame.lstrip("/")
