"""A scene drawn over the camera's picture: joints, bones, uncertainty, surface, labels, objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.skeleton import BONES, Side
from hand_pose_ros.types import (
    ByteArray,
    DoubleArray,
    Frame,
    HandEstimate,
    Intrinsics,
    ObjectEstimate,
    Scene,
    TrackingState,
)
from hand_pose_ros.visualization.depth import shade_depth
from hand_pose_ros.visualization.mesh import draw_mesh
from hand_pose_ros.visualization.palette import INVALID_COLOR, JOINT_COLORS, SIDE_COLORS, Color

Faces = Mapping[Side, NDArray[Any]]
_SHIFT = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# The 12 edges of a box whose corners are numbered by the bits x, y, z.
_BOX_EDGES = tuple((a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit)


@dataclass(frozen=True)
class OverlayStyle:
    """What to draw. `mesh_opacity` is 0..1; `uncertainty` draws one standard deviation as a circle."""

    mesh: bool = True
    mesh_opacity: float = 0.55
    skeleton: bool = True
    uncertainty: bool = True
    labels: bool = True
    roi: bool = False


DEFAULT_STYLE = OverlayStyle()


def background(frame: Frame) -> ByteArray:
    """A picture (H, W, 3) RGB to draw on: the colour image's copy, or the depth as a lit surface."""
    if frame.color is not None:
        return frame.color.copy()
    assert frame.depth is not None  # a Frame has one of both
    return shade_depth(frame.depth, frame.intrinsics)


def draw_scene(
    image: ByteArray,
    scene: Scene,
    intrinsics: Intrinsics,
    faces: Faces | None = None,
    style: OverlayStyle = DEFAULT_STYLE,
) -> ByteArray:
    """Draw a scene into a copy of `image` (H, W, 3) RGB uint8, which the `intrinsics` belong to.

    Args:
        image: the picture; see `background`.
        scene: hands and objects in the camera frame of the picture.
        intrinsics: of the picture, without distortion.
        faces: triangles (F, 3) of each side's surface; without them no surfaces are drawn.
        style: what to draw.

    Returns:
        A new picture of the same size. Hands with a joint behind the camera are left out.
    """
    picture = np.ascontiguousarray(image).copy()
    # Far hands first, so that near ones cover them.
    hands = sorted(scene.hands, key=lambda hand: -float(hand.joints[0, 2]))
    for item in scene.objects:
        draw_object(picture, item, intrinsics)
    for hand in hands:
        if (hand.joints[:, 2] <= 0.01).any():
            continue
        if style.mesh and faces is not None and hand.vertices is not None:
            color = SIDE_COLORS[hand.side]
            draw_mesh(picture, hand.vertices, faces[hand.side], intrinsics, color, style.mesh_opacity)
        if style.skeleton:
            draw_hand(picture, hand, intrinsics, uncertainty=style.uncertainty)
        if style.roi:
            _draw_roi(picture, hand)
        if style.labels:
            _draw_label(picture, hand, project(hand.joints, intrinsics))
    return picture


def draw_hand(image: ByteArray, hand: HandEstimate, intrinsics: Intrinsics, *, uncertainty: bool = True) -> None:
    """Draw bones and joints of one hand (all z > 0) into `image` in place; joints that are not valid in grey."""
    pixels = project(hand.joints, intrinsics)
    unit = line_width(image)
    for parent, child in BONES:
        valid = bool(hand.joint_valid[parent] and hand.joint_valid[child])
        color = JOINT_COLORS[child] if valid else INVALID_COLOR
        _line(image, pixels[parent], pixels[child], (0, 0, 0), unit + 2)
        _line(image, pixels[parent], pixels[child], color, unit)
    radii = intrinsics.fx * hand.joint_std / hand.joints[:, 2]
    for joint in np.argsort(-hand.joints[:, 2]):
        color = JOINT_COLORS[joint] if hand.joint_valid[joint] else INVALID_COLOR
        _disc(image, pixels[joint], 1.4 * unit + 1, (0, 0, 0), -1)
        _disc(image, pixels[joint], 1.4 * unit, color, -1)
        if uncertainty and radii[joint] > 1.4 * unit:
            _disc(image, pixels[joint], float(radii[joint]), color, 1)


def draw_object(image: ByteArray, item: ObjectEstimate, intrinsics: Intrinsics) -> None:
    """Draw an object's box and its axes (x red, y green, z blue) into `image` in place."""
    signs = np.array([[bit >> axis & 1 for axis in range(3)] for bit in range(8)]) - 0.5
    corners = (signs * item.extent) @ item.rotation.T + item.translation
    axes = item.translation + item.rotation.T * float(item.extent.max()) / 2
    if (corners[:, 2] <= 0.01).any() or (axes[:, 2] <= 0.01).any():
        return
    pixels, tips = project(corners, intrinsics), project(axes, intrinsics)
    for a, b in _BOX_EDGES:
        _line(image, pixels[a], pixels[b], (250, 250, 250), 1)
    centre = project(item.translation, intrinsics)
    for tip, color in zip(tips, ((230, 60, 60), (60, 200, 60), (80, 110, 255)), strict=True):
        _line(image, centre, tip, color, line_width(image))


def line_width(image: ByteArray) -> int:
    """Width of a bone in pixels for a picture of this size."""
    return max(1, round(float(min(image.shape[:2])) / 240))


def put_text(image: ByteArray, text: str, x: int, y: int, color: Color, scale: float = 0.45) -> None:
    """Write text whose box starts at (x, y) (top left) on a dark plate, moved inside the picture, in place."""
    thickness = max(1, round(2 * scale))
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    x = max(0, min(x, image.shape[1] - width - 6))
    y = max(0, min(y, image.shape[0] - height - baseline - 6))
    plate = image[y : y + height + baseline + 6, x : x + width + 6]
    plate //= 3
    cv2.putText(image, text, (x + 3, y + height + 3), _FONT, scale, color, thickness, cv2.LINE_AA)


def _draw_label(image: ByteArray, hand: HandEstimate, pixels: DoubleArray) -> None:
    state = "" if hand.state is TrackingState.TRACKED else " new"
    text = f"{hand.side.value} #{hand.track_id} {hand.score:.2f}{state}"
    scale = 0.45 * max(1.0, min(image.shape[:2]) / 640)
    left, top = pixels.min(axis=0)
    put_text(image, text, int(left), int(top - 40 * scale - 8), SIDE_COLORS[hand.side], scale)


def _draw_roi(image: ByteArray, hand: HandEstimate) -> None:
    first = (round(hand.roi.x), round(hand.roi.y))
    second = (round(hand.roi.x + hand.roi.width), round(hand.roi.y + hand.roi.height))
    cv2.rectangle(image, first, second, SIDE_COLORS[hand.side], 1)


def _fixed(point: DoubleArray) -> tuple[int, int]:
    # Far outside the picture cv2's fixed-point numbers overflow; nothing of it would be seen anyway.
    x, y = np.clip(np.round(point * (1 << _SHIFT)), -(2**24), 2**24)
    return int(x), int(y)


def _line(image: ByteArray, a: DoubleArray, b: DoubleArray, color: Color, width: int) -> None:
    cv2.line(image, _fixed(a), _fixed(b), color, width, cv2.LINE_AA, _SHIFT)


def _disc(image: ByteArray, centre: DoubleArray, radius: float, color: Color, width: int) -> None:
    size = min(round(radius * (1 << _SHIFT)), 2**20)
    cv2.circle(image, _fixed(centre), size, color, width, cv2.LINE_AA, _SHIFT)
