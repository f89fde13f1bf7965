"""Pictures on disk as frames: a colour picture, a depth picture aligned to it, or either alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.sources.errors import SourceError
from hand_pose_ros.types import ByteArray, FloatArray, Frame, Intrinsics


def load_color(path: Path) -> ByteArray:
    """A colour picture (PNG, JPEG, …) as (H, W, 3) uint8 RGB.

    Raises:
        SourceError: no such file, or no picture OpenCV can read.
    """
    picture = _read(path, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def load_depth(path: Path, unit: float) -> FloatArray:
    """A depth picture as (H, W) float32 metres, 0 = no reading.

    Args:
        path: a 16-bit picture with one channel (PNG, TIFF), or a 32-bit float TIFF/EXR.
        unit: metres per stored unit: 0.001 for millimetres, 0.000125 for the SR305.

    Raises:
        SourceError: no such file, no picture, or not one channel of 16-bit or float numbers.
    """
    picture = _read(path, cv2.IMREAD_UNCHANGED)
    if picture.ndim != 2 or picture.dtype not in (np.uint16, np.float32):
        raise SourceError(
            f"{path}: expected a depth picture with one channel of uint16 or float32, got {picture.dtype} "
            f"{picture.shape}; 8-bit or coloured depth has lost its values"
        )
    metres = picture.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0)).astype(np.float32)


def image_frame(
    color: Path | None,
    depth: Path | None,
    unit: float,
    camera: tuple[float, float, float, float],
    stamp_ns: int = 0,
    frame_id: str = "camera_color_optical_frame",
) -> Frame:
    """A frame from picture files; `camera` is fx, fy, cx, cy in pixels of these pictures.

    Raises:
        SourceError: a file cannot be read, or the pictures' sizes differ.
    """
    rgb = None if color is None else load_color(color)
    metres = None if depth is None else load_depth(depth, unit)
    sizes = {item.shape[:2] for item in (rgb, metres) if item is not None}
    if len(sizes) != 1:
        text = " and ".join(f"{w}x{h}" for h, w in sizes) or "neither picture"
        raise SourceError(f"{color or depth}: expected colour and aligned depth of one size, got {text}")
    ((height, width),) = sizes
    return Frame(stamp_ns, frame_id, Intrinsics(*camera, width, height), rgb, metres)


def _read(path: Path, flags: int) -> np.ndarray:  # type: ignore[type-arg]
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    data = np.fromfile(path, dtype=np.uint8)
    picture = cv2.imdecode(data, flags) if data.size else None
    if picture is None:
        raise SourceError(f"{path}: not a picture that OpenCV can read")
    return np.asarray(picture)
