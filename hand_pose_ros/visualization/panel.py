"""The picture with a panel at its right: the depth image, and the hands seen from the side with the depth points."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import back_project, scale_intrinsics
from hand_pose_ros.skeleton import BONES
from hand_pose_ros.types import ByteArray, DoubleArray, Frame, HandEstimate, Scene
from hand_pose_ros.visualization.depth import colorize_depth, depth_range
from hand_pose_ros.visualization.overlay import (
    DEFAULT_STYLE,
    Faces,
    OverlayStyle,
    background,
    draw_hand,
    draw_scene,
    put_text,
)
from hand_pose_ros.visualization.palette import INVALID_COLOR, JOINT_COLORS

_DARK: Final = (24, 24, 28)
# Half the height in metres of what the side view shows around a hand.
_REACH: Final = 0.13


def compose(
    frame: Frame,
    scene: Scene,
    faces: Faces | None = None,
    style: OverlayStyle = DEFAULT_STYLE,
    depth_limits: tuple[float, float] | None = None,
) -> ByteArray:
    """Overlay (H, W, 3) and, where the frame has depth, a panel of W/2 at its right: RGB (H, W + W // 2, 3).

    `depth_limits` (near, far) in metres keeps the depth colours of a film steady; by default each frame's own.
    """
    main = draw_scene(background(frame), scene, frame.intrinsics, faces, style)
    if frame.depth is None:
        return main
    height, width = main.shape[:2]
    half_w, half_h = width // 2, height // 2
    panel = np.full((height, half_w, 3), _DARK, dtype=np.uint8)
    panel[:half_h] = _depth_view(frame, scene, half_w, half_h, depth_limits)
    panel[half_h:] = side_view(frame, scene, half_w, height - half_h)
    return np.hstack([main, panel])


def _depth_view(frame: Frame, scene: Scene, width: int, height: int, limits: tuple[float, float] | None) -> ByteArray:
    assert frame.depth is not None
    near, far = limits or depth_range(frame.depth)
    small = cv2.resize(frame.depth, (width, height), interpolation=cv2.INTER_NEAREST)
    picture = colorize_depth(np.asarray(small, dtype=np.float32), near, far)
    camera = scale_intrinsics(frame.intrinsics, width, height)
    for hand in scene.hands:
        if (hand.joints[:, 2] > 0.01).all():
            draw_hand(picture, hand, camera, uncertainty=False)
    put_text(picture, f"depth {near:.2f}..{far:.2f} m", 2, 2, (235, 235, 235), 0.4)
    return picture


def side_view(frame: Frame, scene: Scene, width: int, height: int) -> ByteArray:
    """Hands seen from the camera's right: z to the right, y down, with the depth readings around them as dots."""
    picture = np.full((height, width, 3), _DARK, dtype=np.uint8)
    hands = scene.hands
    if not hands:
        put_text(picture, "no hand", 2, 2, (235, 235, 235), 0.4)
        return picture
    part = width // len(hands)
    for index, hand in enumerate(sorted(hands, key=lambda one: float(one.joints[:, 0].mean()))):
        _side_view_of(picture[:, index * part : (index + 1) * part], frame, hand)
    put_text(picture, "from the side: away from the camera ->", 2, 2, (235, 235, 235), 0.4)
    return picture


def _side_view_of(picture: ByteArray, frame: Frame, hand: HandEstimate) -> None:
    height, width = picture.shape[:2]
    centre = hand.joints.mean(axis=0)
    scale = min(height, width) / (2 * _REACH)

    def place(points: DoubleArray) -> DoubleArray:
        return np.stack(
            [(points[:, 2] - centre[2]) * scale + width / 2, (points[:, 1] - centre[1]) * scale + height / 2], axis=1
        )

    dots = np.round(place(_readings_near(frame, hand))).astype(int)
    inside = (dots >= 0).all(axis=1) & (dots[:, 0] < width) & (dots[:, 1] < height)
    picture[dots[inside, 1], dots[inside, 0]] = (110, 110, 120)
    joints = np.round(place(hand.joints.astype(np.float64))).astype(int)
    for parent, child in BONES:
        valid = bool(hand.joint_valid[parent] and hand.joint_valid[child])
        color = JOINT_COLORS[child] if valid else INVALID_COLOR
        cv2.line(picture, tuple(joints[parent].tolist()), tuple(joints[child].tolist()), color, 1, cv2.LINE_AA)


def _readings_near(frame: Frame, hand: HandEstimate) -> DoubleArray:
    """Depth readings (N, 3) metres in the columns and rows of the hand, thinned to a few thousand."""
    assert frame.depth is not None
    camera = frame.intrinsics
    low, high = hand.joints.min(axis=0) - 0.02, hand.joints.max(axis=0) + 0.02
    z = max(float(hand.joints[:, 2].min()), 0.05)
    corners = [
        np.clip([low[0] / z * camera.fx + camera.cx, high[0] / z * camera.fx + camera.cx], 0, camera.width),
        np.clip([low[1] / z * camera.fy + camera.cy, high[1] / z * camera.fy + camera.cy], 0, camera.height),
    ]
    (x0, x1), (y0, y1) = (corner.astype(int).tolist() for corner in corners)
    step = max(1, int(np.sqrt((x1 - x0) * (y1 - y0) / 6000)))
    v, u = np.mgrid[y0:y1:step, x0:x1:step]
    depth = frame.depth[y0:y1:step, x0:x1:step]
    seen = depth > 0
    points = back_project(np.stack([u[seen], v[seen]], axis=-1).astype(np.float64), depth[seen], camera)
    near: DoubleArray = points[(np.abs(points - hand.joints.mean(axis=0)) < _REACH).all(axis=1)]
    return near
