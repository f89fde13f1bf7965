"""Pure builders: a `Scene` becomes the messages of this package. Nothing here publishes or keeps state.

Arrays are assigned in the forms that cost microseconds on every distribution: `array.array` for sequences, float32
numpy arrays for fixed sizes, lists of Python numbers otherwise.
"""

from __future__ import annotations

import array
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from hand_pose_ros.geometry.wrist import matrix_to_quaternion
from hand_pose_ros.msg import (
    Hand,
    HandArray,
    HandMesh,
    HandMeshArray,
    HandMeshTopology,
    ManoParameters,
    ObjectPose,
    ObjectPoseArray,
)
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import (
    BoundingBox,
    HandEstimate,
    ObjectEstimate,
    Scene,
)
from hand_pose_ros.types import ManoParameters as ManoEstimate

SIDES = {Side.LEFT: Hand.SIDE_LEFT, Side.RIGHT: Hand.SIDE_RIGHT}


def header_of(scene: Scene) -> Header:
    """The header of everything that is said about one image: the colour image's stamp, the scene's frame."""
    return Header(stamp=time_message(scene.stamp_ns), frame_id=scene.frame_id)


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as a ROS time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def stamp_ns(header: Header) -> int:
    """A header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def hand_array(scene: Scene, image_size: tuple[int, int]) -> HandArray:
    """All hands of a scene; `image_size` (width, height) clips their regions of interest."""
    return HandArray(header=header_of(scene), hands=[_hand(hand, image_size) for hand in scene.hands])


def mesh_array(scene: Scene) -> HandMeshArray:
    """The meshes of the hands that have one."""
    meshes = [
        HandMesh(side=SIDES[hand.side], track_id=hand.track_id, vertices=_floats(hand.vertices))
        for hand in scene.hands
        if hand.vertices is not None
    ]
    return HandMeshArray(header=header_of(scene), meshes=meshes)


def mesh_topology(
    hand_model: str, num_vertices: int, left_faces: np.ndarray, right_faces: np.ndarray
) -> HandMeshTopology:
    """The triangles (F, 3) of both hands, to be latched."""
    return HandMeshTopology(
        hand_model=hand_model,
        num_vertices=num_vertices,
        left_faces=_indices(left_faces),
        right_faces=_indices(right_faces),
    )


def object_array(scene: Scene) -> ObjectPoseArray:
    """All objects of a scene."""
    return ObjectPoseArray(header=header_of(scene), objects=[_object(item) for item in scene.objects])


def points(array_xyz: np.ndarray) -> list[Point]:
    """(N, 3) metres as a list of points."""
    return [Point(x=x, y=y, z=z) for x, y, z in array_xyz.astype(np.float64).tolist()]


def pose(position: Iterable[float], quaternion: Iterable[float]) -> Pose:
    """A pose from a position and a quaternion (x, y, z, w)."""
    x, y, z = map(float, position)
    qx, qy, qz, qw = map(float, quaternion)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def object_pose(item: ObjectEstimate) -> Pose:
    """Where an object is."""
    return pose(item.translation, matrix_to_quaternion(item.rotation.astype(np.float64)))


def _hand(hand: HandEstimate, image_size: tuple[int, int]) -> Hand:
    message = Hand(
        side=SIDES[hand.side],
        track_id=hand.track_id,
        tracking_state=int(hand.state),
        score=float(hand.score),
        joints=points(hand.joints),
        joint_std=np.array(hand.joint_std, dtype=np.float32),
        joint_valid=hand.joint_valid.tolist(),
        wrist=pose(hand.wrist.position, hand.wrist.quaternion),
        roi=_region(hand.roi, image_size),
        has_mano=hand.mano is not None,
    )
    if hand.mano is not None:
        message.mano = _mano(hand.mano)
    return message


def _mano(mano: ManoEstimate) -> ManoParameters:
    return ManoParameters(
        global_orient=np.array(mano.global_orient),
        hand_pose=np.array(mano.hand_pose),
        betas=np.array(mano.betas),
        transl=np.array(mano.transl),
    )


def _object(item: ObjectEstimate) -> ObjectPose:
    x, y, z = map(float, item.extent)
    return ObjectPose(name=item.name, score=float(item.score), pose=object_pose(item), extent=Vector3(x=x, y=y, z=z))


def _region(box: BoundingBox, image_size: tuple[int, int]) -> RegionOfInterest:
    """A box as whole pixels inside the image (an empty region where it lies outside)."""
    width, height = image_size
    left, right = (min(max(round(value), 0), width) for value in (box.x, box.x + box.width))
    top, bottom = (min(max(round(value), 0), height) for value in (box.y, box.y + box.height))
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)


def _floats(values: np.ndarray | None) -> array.array[float]:
    if values is None:
        return array.array("f")
    return array.array("f", np.ascontiguousarray(values, dtype=np.float32).tobytes())


def _indices(values: np.ndarray) -> array.array[int]:
    return array.array("I", np.ascontiguousarray(values, dtype=np.uint32).tobytes())
