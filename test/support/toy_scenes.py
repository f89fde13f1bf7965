"""Frames with blobs that the toy models take for hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, Intrinsics

CAMERA = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)


@dataclass(frozen=True)
class Blob:
    """A square patch, 12 cm wide, facing the camera at `center` (metres): the toy models' hand."""

    side: Side
    center: tuple[float, float, float]
    width: float = 0.12
    marked: Side | None = None  # what the finder is told, if not the true side


def toy_frame(*blobs: Blob, stamp: float = 0.0, camera: Intrinsics = CAMERA) -> Frame:
    """A frame with these blobs before nothing; `stamp` in seconds."""
    color = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    depth = np.zeros((camera.height, camera.width), dtype=np.float32)
    v, u = np.arange(camera.height)[:, None], np.arange(camera.width)[None]
    for blob in blobs:
        x, y = project(np.array(blob.center), camera)
        half = blob.width / 2 / blob.center[2]
        inside = (np.abs(u - x) <= half * camera.fx) & (np.abs(v - y) <= half * camera.fy)
        depth[inside] = blob.center[2]
        color[inside, 1 if (blob.marked or blob.side) is Side.RIGHT else 2] = 255
        # A right hand is red on its right half, a left hand on its left.
        color[inside & ((u > x) == (blob.side is Side.RIGHT)), 0] = 255
    return Frame(round(stamp * 1e9), "camera", camera, color, depth)
