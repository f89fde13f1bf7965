"""Image, CompressedImage and CameraInfo messages (of rclpy or of rosbags alike) as arrays, and back.

Only attributes are looked at, so any class with the fields of the message serves.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hand_pose_ros.geometry.camera import crop_intrinsics, scale_intrinsics
from hand_pose_ros.geometry.lens import check_lens
from hand_pose_ros.sources.decode import (
    decode_color,
    decode_compressed_color,
    decode_compressed_depth,
    decode_depth,
    encode_compressed_color,
    encode_compressed_depth,
    encode_depth,
)
from hand_pose_ros.sources.scene_messages import Make
from hand_pose_ros.types import ByteArray, FloatArray, Intrinsics

_PLUMB_BOB_SIZE: Final = 5


def color_of(message: Any) -> ByteArray:
    """The colour image (H, W, 3) uint8 RGB; a view of the message where its encoding is rgb8.

    Raises:
        DecodeError: an unsupported encoding or damaged data.
    """
    if hasattr(message, "format"):
        return decode_compressed_color(message.format, _bytes(message))
    m = message
    return decode_color(m.encoding, m.height, m.width, m.step, bool(m.is_bigendian), _bytes(m))


def depth_of(message: Any) -> FloatArray:
    """The depth image (H, W) float32 metres, 0 where there is no reading.

    Raises:
        DecodeError: an unsupported encoding or damaged data.
    """
    if hasattr(message, "format"):
        return decode_compressed_depth(message.format, _bytes(message))
    m = message
    return decode_depth(m.encoding, m.height, m.width, m.step, bool(m.is_bigendian), _bytes(m))


def intrinsics_of(message: Any, rectified: bool = False) -> Intrinsics:
    """The camera of a CameraInfo: of its raw images (K and D), or of those that image_proc has rectified (P).

    Its size is that of the images: a region of interest and binning are taken into account.

    Raises:
        InvalidData: an uncalibrated camera (K all zero) or a distortion that cannot be taken out.
    """
    straight = rectified and message.p[0] > 0
    matrix, indices = (message.p, (0, 2, 5, 6)) if straight else (message.k, (0, 2, 4, 5))
    fx, cx, fy, cy = (float(matrix[index]) for index in indices)
    lens = () if rectified else tuple(float(value) for value in message.d)
    model = str(message.distortion_model) if any(lens) else ""
    full = Intrinsics(fx, fy, cx, cy, int(message.width), int(message.height), lens if any(lens) else (), model)
    check_lens(full)
    region = message.roi
    width, height = int(region.width) or full.width, int(region.height) or full.height
    part = crop_intrinsics(full, int(region.x_offset), int(region.y_offset), width, height)
    columns, rows = max(1, int(message.binning_x)), max(1, int(message.binning_y))
    return scale_intrinsics(part, width // columns, height // rows) if columns * rows > 1 else part


def is_rectified(topic: str) -> bool:
    """Whether image_proc's rule for names says that the images are rectified: image_rect, image_rect_color, …"""
    return "/image_rect" in f"/{topic}"


def color_image(make: Make, header: Any, color: ByteArray) -> Any:
    """rgb8 Image of (H, W, 3)."""
    height, width = color.shape[:2]
    data = np.ascontiguousarray(color).reshape(-1)
    return make(
        "sensor_msgs/msg/Image", header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data
    )


def depth_image(make: Make, header: Any, depth: FloatArray) -> Any:
    """16UC1 Image, millimetres, of (H, W) metres."""
    height, width = depth.shape
    data = encode_depth(depth).astype("<u2").view(np.uint8).reshape(-1)
    return make(
        "sensor_msgs/msg/Image", header=header, height=height, width=width, encoding="16UC1", step=2 * width, data=data
    )


def compressed_color(make: Make, header: Any, color: ByteArray, *, quality: int = 90, lossless: bool = False) -> Any:
    """CompressedImage, JPEG or PNG, of (H, W, 3)."""
    text, data = encode_compressed_color(color, quality=quality, lossless=lossless)
    return _compressed(make, header, text, data)


def compressed_depth(make: Make, header: Any, depth: FloatArray) -> Any:
    """CompressedImage, compressedDepth PNG in millimetres, of (H, W) metres."""
    return _compressed(make, header, *encode_compressed_depth(depth))


def camera_info(make: Make, header: Any, camera: Intrinsics) -> Any:
    """CameraInfo of an unrectified pinhole camera."""
    distortion = np.array(camera.distortion or (0.0,) * _PLUMB_BOB_SIZE, dtype=np.float64)
    projection = np.hstack([camera.matrix, np.zeros((3, 1))])
    return make(
        "sensor_msgs/msg/CameraInfo",
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model or _model_of(len(distortion)),
        d=distortion,
        k=camera.matrix.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
    )


def _model_of(coefficients: int) -> str:
    return "plumb_bob" if coefficients == _PLUMB_BOB_SIZE else "rational_polynomial"


def _compressed(make: Make, header: Any, text: str, data: bytes) -> Any:
    return make("sensor_msgs/msg/CompressedImage", header=header, format=text, data=np.frombuffer(data, dtype=np.uint8))


def _bytes(message: Any) -> ByteArray:
    return np.frombuffer(message.data, dtype=np.uint8)
