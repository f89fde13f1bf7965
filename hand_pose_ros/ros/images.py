"""ROS image messages to numpy arrays and back.

The usual encodings are read as views of the message's own buffer (`hand_pose_ros.sources.decode`, the functions that
also read bags); cv_bridge is asked only for other ones, and only where it is installed (with numpy 2 it often is not
usable: vision_opencv issue 535).
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hand_pose_ros.sources.decode import (
    COLOR_ENCODINGS,
    decode_color,
    decode_compressed_color,
    decode_compressed_depth,
    decode_depth,
)
from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.types import ByteArray, FloatArray, Intrinsics, InvalidData

# Models whose coefficients `Intrinsics.distortion` can hold.
_DISTORTION_MODELS = ("", "none", "plumb_bob", "rational_polynomial")


def color_from_message(message: Image | CompressedImage) -> ByteArray:
    """A colour image as (H, W, 3) uint8 RGB; a view of the message where its encoding is rgb8.

    Raises:
        DecodeError: an encoding nobody here can read, or fewer bytes than the size says.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed_color(message.format, _bytes(message))
    if message.encoding not in COLOR_ENCODINGS:
        return np.asarray(_with_cv_bridge(message, "rgb8"), dtype=np.uint8)
    return decode_color(
        message.encoding, message.height, message.width, message.step, message.is_bigendian, _bytes(message)
    )


def depth_from_message(message: Image | CompressedImage) -> FloatArray:
    """A depth image as (H, W) float32 metres with 0 where there is no reading.

    Raises:
        DecodeError: as `color_from_message`.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed_depth(message.format, _bytes(message))
    return decode_depth(
        message.encoding, message.height, message.width, message.step, message.is_bigendian, _bytes(message)
    )


def intrinsics_from_message(message: CameraInfo) -> Intrinsics:
    """The pinhole camera of a CameraInfo.

    Raises:
        InvalidData: an uncalibrated camera (K all zero) or a distortion model that cannot be used.
    """
    distortion = tuple(float(value) for value in message.d)
    if message.distortion_model not in _DISTORTION_MODELS and any(distortion):
        raise InvalidData(
            f"camera_info: expected distortion model plumb_bob or rational_polynomial, got "
            f"{message.distortion_model!r}; rectify the images (image_proc) and give the rectified camera_info"
        )
    k = message.k
    return Intrinsics(float(k[0]), float(k[4]), float(k[2]), float(k[5]), message.width, message.height, distortion)


def message_from_color(rgb: ByteArray, header: Any) -> Image:
    """An (H, W, 3) uint8 RGB image as an rgb8 message."""
    height, width = rgb.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    # The one assignment that is fast on every distribution: bytes and arrays are checked element by element on some.
    message.data = array.array("B", rgb.tobytes())
    return message


def _bytes(message: Image | CompressedImage) -> ByteArray:
    return np.frombuffer(message.data, dtype=np.uint8)


def _with_cv_bridge(message: Image, encoding: str) -> Any:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise DecodeError(
            f"image: expected one of the encodings {', '.join(COLOR_ENCODINGS)}, got {message.encoding!r}; "
            f"set the camera to rgb8, or install cv_bridge for others ({error})"
        ) from error
    try:
        return CvBridge().imgmsg_to_cv2(message, encoding)
    except CvBridgeError as error:
        raise DecodeError(f"image: cv_bridge cannot convert {message.encoding!r} to {encoding}: {error}") from error
