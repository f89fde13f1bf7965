"""A `Scene` as ROS messages and back, without ROS: whoever has message classes passes a `make` for them.

`make("geometry_msgs/msg/Point", x=1.0)` builds one message; arrays of numbers are given as numpy arrays of the field's
type. `hand_pose_ros.sources.message_types.make` does it for bags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.geometry.wrist import matrix_to_quaternion, quaternion_to_matrix
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import (
    BoundingBox,
    DoubleArray,
    FloatArray,
    HandEstimate,
    InvalidData,
    ManoParameters,
    ObjectEstimate,
    Scene,
    TrackingState,
    WristPose,
)

Make = Callable[..., Any]

# Hand.msg: SIDE_LEFT, SIDE_RIGHT.
SIDE_CODES = {Side.LEFT: 1, Side.RIGHT: 2}
_SIDES = {code: side for side, code in SIDE_CODES.items()}


def header_of(make: Make, stamp_ns: int, frame_id: str) -> Any:
    """std_msgs/Header."""
    stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def stamp_of(header: Any) -> int:
    """A header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def hand_array(make: Make, scene: Scene, image_size: tuple[int, int]) -> Any:
    """HandArray of all hands; `image_size` (width, height) clips their regions of interest."""
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    hands = [_hand(make, hand, image_size) for hand in scene.hands]
    return make("hand_pose_ros/msg/HandArray", header=header, hands=hands)


def mesh_array(make: Make, scene: Scene) -> Any:
    """HandMeshArray of the hands that have a mesh."""
    meshes = [
        make(
            "hand_pose_ros/msg/HandMesh",
            side=SIDE_CODES[hand.side],
            track_id=hand.track_id,
            vertices=np.ascontiguousarray(hand.vertices, dtype=np.float32).reshape(-1),
        )
        for hand in scene.hands
        if hand.vertices is not None
    ]
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    return make("hand_pose_ros/msg/HandMeshArray", header=header, meshes=meshes)


def mesh_topology(
    make: Make, hand_model: str, num_vertices: int, left_faces: NDArray[Any], right_faces: NDArray[Any]
) -> Any:
    """HandMeshTopology: the triangles (F, 3) of both hands."""
    return make(
        "hand_pose_ros/msg/HandMeshTopology",
        hand_model=hand_model,
        num_vertices=num_vertices,
        left_faces=np.ascontiguousarray(left_faces, dtype=np.uint32).reshape(-1),
        right_faces=np.ascontiguousarray(right_faces, dtype=np.uint32).reshape(-1),
    )


def object_array(make: Make, scene: Scene) -> Any:
    """ObjectPoseArray of all objects."""
    objects = [
        make(
            "hand_pose_ros/msg/ObjectPose",
            name=item.name,
            score=float(item.score),
            pose=object_pose(make, item),
            extent=vector(make, "Vector3", item.extent),
        )
        for item in scene.objects
    ]
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    return make("hand_pose_ros/msg/ObjectPoseArray", header=header, objects=objects)


def vector(make: Make, kind: str, xyz: Iterable[float]) -> Any:
    """geometry_msgs/Point or /Vector3."""
    x, y, z = map(float, xyz)
    return make(f"geometry_msgs/msg/{kind}", x=x, y=y, z=z)


def points(make: Make, xyz: NDArray[Any]) -> list[Any]:
    """(N, 3) metres as N geometry_msgs/Point."""
    rows = np.asarray(xyz, dtype=np.float64).tolist()
    return [make("geometry_msgs/msg/Point", x=x, y=y, z=z) for x, y, z in rows]


def quaternion(make: Make, xyzw: Iterable[float]) -> Any:
    """geometry_msgs/Quaternion."""
    x, y, z, w = map(float, xyzw)
    return make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def pose(make: Make, position: Iterable[float], xyzw: Iterable[float]) -> Any:
    """geometry_msgs/Pose."""
    return make("geometry_msgs/msg/Pose", position=vector(make, "Point", position), orientation=quaternion(make, xyzw))


def wrist_pose_stamped(make: Make, scene: Scene, hand: HandEstimate) -> Any:
    """geometry_msgs/PoseStamped of a hand's wrist frame."""
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    wrist = pose(make, hand.wrist.position, hand.wrist.quaternion)
    return make("geometry_msgs/msg/PoseStamped", header=header, pose=wrist)


def object_pose(make: Make, item: ObjectEstimate) -> Any:
    """geometry_msgs/Pose of an object."""
    return pose(make, item.translation, matrix_to_quaternion(item.rotation.astype(np.float64)))


def scene_from_messages(hands: Any, meshes: Any = None, objects: Any = None) -> Scene:
    """The scene that a HandArray (and the HandMeshArray and ObjectPoseArray of the same stamp) tells of.

    Raises:
        InvalidData: values outside the messages' conventions (an unknown side, NaN, …).
    """
    vertices = {}
    for mesh in [] if meshes is None else meshes.meshes:
        vertices[int(mesh.side), int(mesh.track_id)] = np.array(mesh.vertices, dtype=np.float32).reshape(-1, 3)
    return Scene(
        stamp_ns=stamp_of(hands.header),
        frame_id=hands.header.frame_id,
        hands=tuple(_estimate(hand, vertices.get((int(hand.side), int(hand.track_id)))) for hand in hands.hands),
        objects=() if objects is None else tuple(map(_object_estimate, objects.objects)),
    )


def _hand(make: Make, hand: HandEstimate, image_size: tuple[int, int]) -> Any:
    message = make(
        "hand_pose_ros/msg/Hand",
        side=SIDE_CODES[hand.side],
        track_id=hand.track_id,
        tracking_state=int(hand.state),
        score=float(hand.score),
        joints=points(make, hand.joints),
        joint_std=np.array(hand.joint_std, dtype=np.float32),
        joint_valid=np.array(hand.joint_valid, dtype=np.bool_),
        wrist=pose(make, hand.wrist.position, hand.wrist.quaternion),
        roi=_region(make, hand.roi, image_size),
        has_mano=hand.mano is not None,
    )
    if hand.mano is not None:
        message.mano = make(
            "hand_pose_ros/msg/ManoParameters",
            **{name: np.array(getattr(hand.mano, name)) for name in ("global_orient", "hand_pose", "betas", "transl")},
        )
    return message


def _region(make: Make, box: BoundingBox, image_size: tuple[int, int]) -> Any:
    """A box as whole pixels inside the image (an empty region where it lies outside)."""
    width, height = image_size
    left, right = (min(max(round(value), 0), width) for value in (box.x, box.x + box.width))
    top, bottom = (min(max(round(value), 0), height) for value in (box.y, box.y + box.height))
    return make(
        "sensor_msgs/msg/RegionOfInterest", x_offset=left, y_offset=top, width=right - left, height=bottom - top
    )


def _estimate(hand: Any, vertices: FloatArray | None) -> HandEstimate:
    if int(hand.side) not in _SIDES:
        raise InvalidData(f"Hand.side: expected {sorted(_SIDES)}, got {hand.side}; the message was never filled in")
    states = [int(state) for state in TrackingState]
    if int(hand.tracking_state) not in states:
        raise InvalidData(f"Hand.tracking_state: expected one of {states}, got {hand.tracking_state}")
    region = hand.roi
    return HandEstimate(
        side=_SIDES[int(hand.side)],
        joints=np.array([[p.x, p.y, p.z] for p in hand.joints], dtype=np.float32),
        joint_std=np.array(hand.joint_std, dtype=np.float32),
        joint_valid=np.array(hand.joint_valid, dtype=np.bool_),
        score=float(hand.score),
        track_id=int(hand.track_id),
        state=TrackingState(int(hand.tracking_state)),
        roi=BoundingBox(float(region.x_offset), float(region.y_offset), float(region.width), float(region.height)),
        wrist=WristPose(_xyz(hand.wrist.position).astype(np.float32), _xyzw(hand.wrist).astype(np.float32)),
        mano=_mano(hand.mano) if hand.has_mano else None,
        vertices=vertices,
    )


def _mano(mano: Any) -> ManoParameters:
    values = (np.array(getattr(mano, name), np.float32) for name in ("global_orient", "hand_pose", "betas", "transl"))
    return ManoParameters(*values)


def _object_estimate(item: Any) -> ObjectEstimate:
    return ObjectEstimate(
        name=item.name,
        rotation=quaternion_to_matrix(_xyzw(item.pose)).astype(np.float32),
        translation=_xyz(item.pose.position).astype(np.float32),
        extent=_xyz(item.extent).astype(np.float32),
        score=float(item.score),
    )


def _xyz(item: Any) -> DoubleArray:
    return np.array([item.x, item.y, item.z], dtype=np.float64)


def _xyzw(item: Any) -> DoubleArray:
    q = item.orientation
    return np.array([q.x, q.y, q.z, q.w], dtype=np.float64)
