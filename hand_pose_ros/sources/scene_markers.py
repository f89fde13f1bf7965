"""A `Scene` as RViz/Foxglove markers and as TF, without ROS (see `scene_messages` for `make`).

TF tree: image frame -> `<prefix>left_wrist` -> `<prefix>left_index_tip` …; image frame -> `<prefix>object_<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.geometry.wrist import matrix_to_quaternion, wrist_rotation
from hand_pose_ros.skeleton import BONES, FINGERS, JOINT_NAMES, NUM_JOINTS, WRIST, Side
from hand_pose_ros.sources.scene_messages import (
    Make,
    header_of,
    object_pose,
    points,
    pose,
    quaternion,
    vector,
)
from hand_pose_ros.types import HandEstimate, ObjectEstimate, Scene
from hand_pose_ros.visualization import palette


def _unit(color: palette.Color) -> tuple[float, float, float]:
    red, green, blue = color
    return red / 255, green / 255, blue / 255


# One colour per finger (thumb to little), the same on both hands and in the overlays.
FINGER_COLORS: Final = tuple(_unit(palette.FINGER_COLORS[finger]) for finger in FINGERS)
SIDE_COLORS: Final = {side: _unit(palette.SIDE_COLORS[side]) for side in Side}
_WHITE: Final = (1.0, 1.0, 1.0)
_BONE_WIDTH: Final = 0.006
_JOINT_SIZE: Final = 0.009
_TEXT_SIZE: Final = 0.02
_AXIS_WIDTH: Final = 0.004
_AXIS_COLORS: Final = ((0.9, 0.2, 0.2), (0.2, 0.8, 0.2), (0.3, 0.4, 1.0))  # x red, y green, z blue
_OBJECT_COLOR: Final = (0.6, 0.6, 0.9)
# The spheres of a list share one size, and a marker per joint would cost rclpy 5 ms for two hands: standard deviations
# are rounded to steps of this factor, so that a radius is at most 12 % wrong.
_STD_STEP: Final = 1.25
_STD_ALPHA: Final = 0.25
_MESH_ALPHA: Final = 0.4  # joints, bones and deviations lie within the hand and are to be seen
_ABOVE: Final = np.array([0.0, -0.03, 0.0])  # up in an optical frame, so that the text does not cover the hand
_IDENTITY: Final = (0.0, 0.0, 0.0, 1.0)
# visualization_msgs/Marker constants.
_ADD, _DELETE_ALL = 0, 3
_CUBE, _LINE_LIST, _SPHERE_LIST, _TEXT, _TRIANGLE_LIST = 1, 5, 7, 9, 11


def marker_array(
    make: Make, scene: Scene, faces: Mapping[Side, NDArray[Any]] | None = None, uncertainty: bool = True
) -> Any:
    """MarkerArray: bones, joints and label of each hand, its mesh where `faces` (F, 3) are given; objects.

    With `uncertainty`, a sphere around each joint whose radius is one standard deviation. Of each object: its box, axes
    and name. Begins with DELETEALL, so that what was shown before goes.
    """
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    markers = [make("visualization_msgs/msg/Marker", header=header, action=_DELETE_ALL)]
    for index, hand in enumerate(scene.hands):
        corners, colors = points(make, hand.joints), _joint_colors(make, hand)
        markers.append(_bones(make, hand, header, index, corners, colors))
        markers.append(_joints(make, hand, header, index, corners, colors))
        markers.append(_label(make, hand, header, index))
        if uncertainty:
            markers += _uncertainty(make, hand, header, index, corners)
        if faces is not None and hand.vertices is not None:
            markers.append(_mesh(make, hand, header, index, faces[hand.side]))
    for index, item in enumerate(scene.objects):
        markers += _object(make, item, header, index)
    return make("visualization_msgs/msg/MarkerArray", markers=markers)


def mesh_markers(make: Make, scene: Scene, faces: Mapping[Side, NDArray[Any]]) -> Any:
    """MarkerArray of the meshes alone: thousands of points that cost rclpy some 10 ms per hand to send."""
    header = header_of(make, scene.stamp_ns, scene.frame_id)
    markers = [make("visualization_msgs/msg/Marker", header=header, action=_DELETE_ALL)]
    for index, hand in enumerate(scene.hands):
        if hand.vertices is not None:
            markers.append(_mesh(make, hand, header, index, faces[hand.side]))
    return make("visualization_msgs/msg/MarkerArray", markers=markers)


def transforms(make: Make, scene: Scene, prefix: str = "", joints: bool = False) -> Any:
    """TFMessage of wrists, on request of every joint, and of objects.

    Of two hands of one side, or objects of one name, the one with the higher score is taken: frame names are unique.
    """
    frames = []
    for hand in surest_hands(scene).values():
        wrist = wrist_frame(hand.side, prefix)
        frames.append(_stamped(make, scene, scene.frame_id, wrist, hand.wrist.position, hand.wrist.quaternion))
        if joints:
            frames += _joint_frames(make, scene, hand, prefix)
    objects = {object_frame(item.name, prefix): item for item in sorted(scene.objects, key=lambda item: item.score)}
    for frame, item in objects.items():
        rotation = matrix_to_quaternion(item.rotation.astype(np.float64))
        frames.append(_stamped(make, scene, scene.frame_id, frame, item.translation, rotation))
    return make("tf2_msgs/msg/TFMessage", transforms=frames)


def surest_hands(scene: Scene) -> dict[Side, HandEstimate]:
    """Of each side that is there, the hand with the highest score."""
    return {hand.side: hand for hand in sorted(scene.hands, key=lambda hand: hand.score)}


def wrist_frame(side: Side, prefix: str = "") -> str:
    """The name of a wrist's frame."""
    return f"{prefix}{side.value}_wrist"


def object_frame(name: str, prefix: str = "") -> str:
    """The name of an object's frame; characters that TF names should not have become underscores."""
    return f"{prefix}object_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"


def _marker(make: Make, header: Any, namespace: str, index: int, kind: int, scale: Iterable[float], **more: Any) -> Any:
    fields = {"pose": pose(make, (0.0, 0.0, 0.0), _IDENTITY), "color": _color(make, _WHITE), **more}
    return make(
        "visualization_msgs/msg/Marker",
        header=header,
        ns=namespace,
        id=index,
        type=kind,
        action=_ADD,
        scale=vector(make, "Vector3", scale),
        **fields,
    )


def _color(make: Make, rgb: tuple[float, float, float], alpha: float = 1.0) -> Any:
    return make("std_msgs/msg/ColorRGBA", r=rgb[0], g=rgb[1], b=rgb[2], a=alpha)


def _joint_colors(make: Make, hand: HandEstimate, alpha: float = 1.0) -> list[Any]:
    """Of the 21 joints: the finger's colour, white for the wrist, grey where a joint is not to be relied on."""
    colors = [_color(make, _WHITE, alpha)]
    for finger in range(len(FINGERS)):
        colors += [_color(make, FINGER_COLORS[finger], alpha)] * 4
    grey = _color(make, (0.5, 0.5, 0.5), 0.4 * alpha)
    return [color if valid else grey for color, valid in zip(colors, hand.joint_valid.tolist(), strict=True)]


def _bones(
    make: Make, hand: HandEstimate, header: Any, index: int, joints: Sequence[Any], colors: Sequence[Any]
) -> Any:
    return _marker(
        make,
        header,
        f"{hand.side.value}_bones",
        index,
        _LINE_LIST,
        (_BONE_WIDTH, 0.0, 0.0),
        points=[joints[end] for bone in BONES for end in bone],
        colors=[colors[child] for _, child in BONES for _ in range(2)],
    )


def _joints(
    make: Make, hand: HandEstimate, header: Any, index: int, joints: Sequence[Any], colors: Sequence[Any]
) -> Any:
    namespace = f"{hand.side.value}_joints"
    given = {"points": joints, "colors": colors}
    return _marker(make, header, namespace, index, _SPHERE_LIST, (_JOINT_SIZE,) * 3, **given)


def _label(make: Make, hand: HandEstimate, header: Any, index: int) -> Any:
    return _marker(
        make,
        header,
        f"{hand.side.value}_label",
        index,
        _TEXT,
        (0.0, 0.0, _TEXT_SIZE),
        pose=pose(make, hand.joints.astype(np.float64).min(axis=0) + _ABOVE, _IDENTITY),
        color=_color(make, SIDE_COLORS[hand.side]),
        text=f"{hand.side.value} {hand.track_id} {hand.score:.2f}",
    )


def _mesh(make: Make, hand: HandEstimate, header: Any, index: int, faces: NDArray[Any]) -> Any:
    # Corners are shared objects: making 778 points is the cost, not listing 4614.
    corners = points(make, np.asarray(hand.vertices))
    return _marker(
        make,
        header,
        f"{hand.side.value}_mesh",
        index,
        _TRIANGLE_LIST,
        (1.0, 1.0, 1.0),
        points=[corners[i] for i in faces.ravel().tolist()],
        color=_color(make, SIDE_COLORS[hand.side], _MESH_ALPHA),
    )


def _uncertainty(make: Make, hand: HandEstimate, header: Any, index: int, corners: Sequence[Any]) -> list[Any]:
    """Translucent spheres, a list per size; an uncertainty of 0 or less says nothing and is not shown."""
    namespace, colors = f"{hand.side.value}_std", _joint_colors(make, hand, _STD_ALPHA)
    known = np.flatnonzero(hand.joint_std > 0)
    steps = np.rint(np.log(hand.joint_std[known].astype(np.float64)) / np.log(_STD_STEP)).astype(np.int64)
    lists = []
    for number, step in enumerate(np.unique(steps).tolist()):
        joints = known[steps == step].tolist()
        size = (2 * _STD_STEP**step,) * 3
        given = {"points": [corners[j] for j in joints], "colors": [colors[j] for j in joints]}
        lists.append(_marker(make, header, namespace, NUM_JOINTS * index + number, _SPHERE_LIST, size, **given))
    return lists


def _object(make: Make, item: ObjectEstimate, header: Any, index: int) -> list[Any]:
    """Its box, its axes (as long as the box reaches) and its name."""
    place, middle = object_pose(make, item), points(make, np.zeros((1, 3)))[0]
    ends = points(make, np.diag(item.extent.astype(np.float64)) / 2)
    colors = [_color(make, color) for color in _AXIS_COLORS for _ in range(2)]
    above = item.translation.astype(np.float64) + _ABOVE - (0.0, float(item.extent.max()) / 2, 0.0)
    look = {"pose": place, "color": _color(make, _OBJECT_COLOR, 0.5)}
    axes = {"pose": place, "points": [point for end in ends for point in (middle, end)], "colors": colors}
    name = {"pose": pose(make, above, _IDENTITY), "text": f"{item.name} {item.score:.2f}"}
    return [
        _marker(make, header, "objects", index, _CUBE, item.extent.tolist(), **look),
        _marker(make, header, "object_axes", index, _LINE_LIST, (_AXIS_WIDTH, 0.0, 0.0), **axes),
        _marker(make, header, "object_labels", index, _TEXT, (0.0, 0.0, _TEXT_SIZE), **name),
    ]


def _joint_frames(make: Make, scene: Scene, hand: HandEstimate, prefix: str) -> list[Any]:
    """Joints relative to the wrist frame, turned as it is: what retargeting wants to read."""
    rotation = wrist_rotation(hand.joints, hand.side)
    relative = (hand.joints.astype(np.float64) - hand.wrist.position) @ rotation
    parent = wrist_frame(hand.side, prefix)
    return [
        _stamped(make, scene, parent, f"{prefix}{hand.side.value}_{name}", relative[index], _IDENTITY)
        for index, name in enumerate(JOINT_NAMES)
        if index != WRIST
    ]


def _stamped(
    make: Make, scene: Scene, parent: str, child: str, translation: Iterable[float], rotation: Iterable[float]
) -> Any:
    return make(
        "geometry_msgs/msg/TransformStamped",
        header=header_of(make, scene.stamp_ns, parent),
        child_frame_id=child,
        transform=make(
            "geometry_msgs/msg/Transform",
            translation=vector(make, "Vector3", translation),
            rotation=quaternion(make, rotation),
        ),
    )
