"""A `Scene` as one list of named poses in a standard message, for teleoperation programs that do not know ours.

`sensor_msgs/MultiDOFJointState` is the standard message with names and poses. A name that is not in it is not valid:
whoever goes through the names and keeps the last pose of each holds still, as a robot should, where a hand is lost;
there is no pose that could be taken for one (NVIDIA's IsaacTeleop, issue 1029: zeros drove the robot's hand open).
"""

from __future__ import annotations

from typing import Any

from hand_pose_ros.geometry.wrist import matrix_to_quaternion, wrist_rotation
from hand_pose_ros.skeleton import JOINT_NAMES, WRIST, Side
from hand_pose_ros.sources.scene_markers import surest_hands
from hand_pose_ros.sources.scene_messages import Make, header_of, quaternion, vector
from hand_pose_ros.types import HandEstimate, Scene


def named_poses(make: Make, scene: Scene) -> Any:
    """MultiDOFJointState: `left_wrist`, `left_thumb_cmc` … `right_little_tip`, left hand first, valid joints only.

    All poses are in the header's frame. Joints are turned as their wrist is, as in TF: the networks give places.
    """
    names: list[str] = []
    transforms: list[Any] = []
    hands = surest_hands(scene)
    for side in (Side.LEFT, Side.RIGHT):
        if side in hands:
            _add(make, hands[side], names, transforms)
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    return make("sensor_msgs/msg/MultiDOFJointState", header=header, joint_names=names, transforms=transforms)


def _add(make: Make, hand: HandEstimate, names: list[str], transforms: list[Any]) -> None:
    turn = quaternion(make, matrix_to_quaternion(wrist_rotation(hand.joints, hand.side)))
    for index, name in enumerate(JOINT_NAMES):
        if index == WRIST or hand.joint_valid[index]:
            place = vector(make, "Vector3", hand.joints[index])
            names.append(f"{hand.side.value}_{name}")
            transforms.append(make("geometry_msgs/msg/Transform", translation=place, rotation=turn))
