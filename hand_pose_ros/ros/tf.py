"""TF: wrists, optionally every joint, and objects as `TransformStamped`; and scenes moved into another frame.

Tree: image frame -> `<prefix>left_wrist` -> `<prefix>left_index_tip` …; image frame -> `<prefix>object_<name>`.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from std_msgs.msg import Header

from hand_pose_ros.geometry.wrist import matrix_to_quaternion, wrist_pose, wrist_rotation
from hand_pose_ros.ros.messages import header_of
from hand_pose_ros.skeleton import JOINT_NAMES, WRIST, Side
from hand_pose_ros.types import DoubleArray, HandEstimate, ObjectEstimate, Scene

_IDENTITY = (0.0, 0.0, 0.0, 1.0)


def transforms(scene: Scene, prefix: str = "", joints: bool = False) -> list[TransformStamped]:
    """The transforms of a scene. Of two hands of one side the one with the higher score is taken: names are unique."""
    header = header_of(scene)
    best: dict[Side, HandEstimate] = {}
    for hand in scene.hands:
        if hand.side not in best or hand.score > best[hand.side].score:
            best[hand.side] = hand
    result = []
    for hand in best.values():
        result.append(_wrist(hand, header, prefix))
        if joints:
            result.extend(_joints(hand, header, prefix))
    result.extend(_object(item, header, prefix) for item in scene.objects)
    return result


def wrist_frame(side: Side, prefix: str = "") -> str:
    """The name of a wrist's frame."""
    return f"{prefix}{side.value}_wrist"


def object_frame(name: str, prefix: str = "") -> str:
    """The name of an object's frame; characters that TF names should not have become underscores."""
    return f"{prefix}object_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"


def move_scene(scene: Scene, transform: TransformStamped) -> Scene:
    """A scene in the frame that `transform` leads to (its header's), from the frame the scene is in.

    Parameters of the hand model are left out: their translation depends on the model's rest pose, so they are only
    given in the camera's own frame.
    """
    rotation, translation = matrix_of(transform.transform)
    return dataclasses.replace(
        scene,
        frame_id=transform.header.frame_id,
        hands=tuple(_move_hand(hand, rotation, translation) for hand in scene.hands),
        objects=tuple(_move_object(item, rotation, translation) for item in scene.objects),
    )


def matrix_of(transform: Transform) -> tuple[DoubleArray, DoubleArray]:
    """Rotation (3, 3) and translation (3,) metres of a transform message."""
    q = transform.rotation
    x, y, z, w = np.array([q.x, q.y, q.z, q.w]) / np.linalg.norm([q.x, q.y, q.z, q.w])
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    t = transform.translation
    return rotation, np.array([t.x, t.y, t.z])


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


def _wrist(hand: HandEstimate, header: Header, prefix: str) -> TransformStamped:
    return _stamped(header, header.frame_id, wrist_frame(hand.side, prefix), hand.wrist.position, hand.wrist.quaternion)


def _joints(hand: HandEstimate, header: Header, prefix: str) -> list[TransformStamped]:
    """Joints relative to the wrist frame, turned as it is: what retargeting wants to read."""
    rotation = wrist_rotation(hand.joints, hand.side)
    relative = (hand.joints.astype(np.float64) - hand.wrist.position) @ rotation
    parent = wrist_frame(hand.side, prefix)
    return [
        _stamped(header, parent, f"{prefix}{hand.side.value}_{name}", relative[index], _IDENTITY)
        for index, name in enumerate(JOINT_NAMES)
        if index != WRIST
    ]


def _object(item: ObjectEstimate, header: Header, prefix: str) -> TransformStamped:
    quaternion = matrix_to_quaternion(item.rotation.astype(np.float64))
    return _stamped(header, header.frame_id, object_frame(item.name, prefix), item.translation, quaternion)


def _stamped(header: Header, parent: str, child: str, position, quaternion) -> TransformStamped:  # type: ignore[no-untyped-def]
    x, y, z = map(float, position)
    qx, qy, qz, qw = map(float, quaternion)
    return TransformStamped(
        header=Header(stamp=header.stamp, frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)),
    )
