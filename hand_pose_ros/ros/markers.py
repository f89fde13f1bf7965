"""Markers for RViz: bones and joints of each hand, its side and score, its mesh, boxes of objects."""

from __future__ import annotations

from typing import Final

import numpy as np
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from hand_pose_ros.ros.messages import header_of, object_pose, points, pose
from hand_pose_ros.skeleton import BONES, FINGERS, Side
from hand_pose_ros.types import HandEstimate, ObjectEstimate, Scene

# One colour per finger (thumb to little), the same on both hands.
FINGER_COLORS: Final = (
    (0.90, 0.10, 0.29),
    (0.96, 0.51, 0.19),
    (1.00, 0.88, 0.10),
    (0.24, 0.71, 0.29),
    (0.26, 0.39, 0.85),
)
SIDE_COLORS: Final = {Side.LEFT: (0.30, 0.75, 0.95), Side.RIGHT: (0.95, 0.60, 0.35)}
_BONE_WIDTH: Final = 0.006
_JOINT_SIZE: Final = 0.009
_TEXT_SIZE: Final = 0.025
_ABOVE: Final = np.array([0.0, -0.03, 0.0])  # up in an optical frame, so that the text does not cover the hand
_INVALID = ColorRGBA(r=0.5, g=0.5, b=0.5, a=0.4)


def skeleton_markers(scene: Scene) -> MarkerArray:
    """Bones, joints and labels of all hands, boxes of all objects; what was shown before is deleted."""
    header = header_of(scene)
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for index, hand in enumerate(scene.hands):
        markers += [_bones(hand, header, index), _joints(hand, header, index), _label(hand, header, index)]
    for index, item in enumerate(scene.objects):
        markers.append(_box(item, header, index))
    return MarkerArray(markers=markers)


def mesh_markers(scene: Scene, faces: dict[Side, np.ndarray]) -> MarkerArray:
    """The meshes of all hands as triangle lists; `faces` (F, 3) vertex indices per side."""
    header = header_of(scene)
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for index, hand in enumerate(scene.hands):
        if hand.vertices is None:
            continue
        marker = _marker(header, f"{hand.side.value}_mesh", index, Marker.TRIANGLE_LIST, (1.0, 1.0, 1.0))
        marker.color = _color(SIDE_COLORS[hand.side], 0.9)
        corners = points(hand.vertices)
        # Corners are shared objects: making 778 points is the cost, not making 4614.
        marker.points = [corners[i] for i in faces[hand.side].ravel().tolist()]
        markers.append(marker)
    return MarkerArray(markers=markers)


def _marker(header: Header, namespace: str, index: int, kind: int, scale: tuple[float, float, float]) -> Marker:
    return Marker(
        header=header,
        ns=namespace,
        id=index,
        type=kind,
        action=Marker.ADD,
        pose=pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        scale=Vector3(x=scale[0], y=scale[1], z=scale[2]),
    )


def _color(rgb: tuple[float, float, float], alpha: float = 1.0) -> ColorRGBA:
    return ColorRGBA(r=rgb[0], g=rgb[1], b=rgb[2], a=alpha)


def _joint_colors(hand: HandEstimate) -> list[ColorRGBA]:
    """Of the 21 joints: the finger's colour, white for the wrist, grey where a joint is not to be relied on."""
    colors = [_color((1.0, 1.0, 1.0))]
    for finger in range(len(FINGERS)):
        colors += [_color(FINGER_COLORS[finger])] * 4
    return [color if valid else _INVALID for color, valid in zip(colors, hand.joint_valid.tolist(), strict=True)]


def _bones(hand: HandEstimate, header: Header, index: int) -> Marker:
    marker = _marker(header, f"{hand.side.value}_bones", index, Marker.LINE_LIST, (_BONE_WIDTH, 0.0, 0.0))
    joints, colors = points(hand.joints), _joint_colors(hand)
    marker.points = [joints[end] for bone in BONES for end in bone]
    marker.colors = [colors[child] for _, child in BONES for _ in range(2)]
    return marker


def _joints(hand: HandEstimate, header: Header, index: int) -> Marker:
    scale = (_JOINT_SIZE, _JOINT_SIZE, _JOINT_SIZE)
    marker = _marker(header, f"{hand.side.value}_joints", index, Marker.SPHERE_LIST, scale)
    marker.points, marker.colors = points(hand.joints), _joint_colors(hand)
    return marker


def _label(hand: HandEstimate, header: Header, index: int) -> Marker:
    marker = _marker(header, f"{hand.side.value}_label", index, Marker.TEXT_VIEW_FACING, (0.0, 0.0, _TEXT_SIZE))
    x, y, z = (hand.joints.astype(np.float64).min(axis=0) + _ABOVE).tolist()
    marker.pose.position = Point(x=x, y=y, z=z)
    marker.color = _color(SIDE_COLORS[hand.side])
    marker.text = f"{hand.side.value} {hand.track_id} {hand.score:.2f}"
    return marker


def _box(item: ObjectEstimate, header: Header, index: int) -> Marker:
    x, y, z = map(float, item.extent)
    marker = _marker(header, f"object_{item.name}", index, Marker.CUBE, (x, y, z))
    marker.pose = object_pose(item)
    marker.color = _color((0.6, 0.6, 0.9), 0.5)
    return marker
