"""Image, CompressedImage and CameraInfo messages (of rclpy or of rosbags alike) as arrays, and back.

Only attributes are looked at, so any class with the fields of the message serves.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

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
from hand_pose_ros.types import ByteArray, FloatArray, Intrinsics, InvalidData

# Models whose coefficients `Intrinsics.distortion` can hold.
_DISTORTION_MODELS: Final = ("", "plumb_bob", "rational_polynomial")
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


def intrinsics_of(message: Any) -> Intrinsics:
    """The pinhole camera of a CameraInfo.

    Raises:
        InvalidData: an uncalibrated camera (K all zero) or a distortion model that cannot be used.
    """
    distortion = tuple(float(value) for value in message.d)
    if not any(distortion):
        distortion = ()
    elif message.distortion_model not in _DISTORTION_MODELS:
        raise InvalidData(
            "camera_info: expected distortion model plumb_bob or rational_polynomial, got "
            f"{message.distortion_model!r}; rectify the images (image_proc) and use their camera_info"
        )
    fx, cx, fy, cy = (float(message.k[index]) for index in (0, 2, 4, 5))
    return Intrinsics(fx, fy, cx, cy, int(message.width), int(message.height), distortion)


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
    distortion = np.zeros(max(_PLUMB_BOB_SIZE, len(camera.distortion)), dtype=np.float64)
    distortion[: len(camera.distortion)] = camera.distortion
    projection = np.hstack([camera.matrix, np.zeros((3, 1))])
    return make(
        "sensor_msgs/msg/CameraInfo",
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob" if len(distortion) == _PLUMB_BOB_SIZE else "rational_polynomial",
        d=distortion,
        k=camera.matrix.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
    )


def _compressed(make: Make, header: Any, text: str, data: bytes) -> Any:
    return make("sensor_msgs/msg/CompressedImage", header=header, format=text, data=np.frombuffer(data, dtype=np.uint8))


def _bytes(message: Any) -> ByteArray:
    return np.frombuffer(message.data, dtype=np.uint8)
