"""Colour images of any encoding: the usual ones are read as views, the others by cv_bridge where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from hand_pose_ros.sources.decode import COLOR_ENCODINGS
from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.sources.image_messages import color_of
from hand_pose_ros.types import ByteArray


def color_from_message(message: Any) -> ByteArray:
    """An Image or CompressedImage as (H, W, 3) uint8 RGB; a view of the message where its encoding is rgb8.

    cv_bridge is asked last: with numpy 2 its compiled part often does not load (vision_opencv issue 535).

    Raises:
        DecodeError: an encoding nobody here can read, or fewer bytes than the size says.
    """
    if hasattr(message, "format") or message.encoding in COLOR_ENCODINGS:
        return color_of(message)
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise DecodeError(
            f"colour image: expected one of the encodings {', '.join(COLOR_ENCODINGS)}, got {message.encoding!r}; "
            f"set the camera to rgb8, or install cv_bridge for others ({error})"
        ) from error
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, "rgb8"), dtype=np.uint8)
    except CvBridgeError as error:
        raise DecodeError(f"colour image: cv_bridge cannot convert {message.encoding!r} to rgb8: {error}") from error
