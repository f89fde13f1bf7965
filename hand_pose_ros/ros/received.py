"""The images of one instant as they came over the wire, and the frame they become in the worker's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from hand_pose_ros.ros.images import color_from_message
from hand_pose_ros.ros.static_frames import StaticFrames
from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.sources.frames import DepthCamera, FrameMaker
from hand_pose_ros.sources.image_messages import depth_of, intrinsics_of
from hand_pose_ros.sources.scene_messages import stamp_of
from hand_pose_ros.types import Frame

COLOR: Final = "color"
DEPTH: Final = "depth"


@dataclass(frozen=True)
class Serialized:
    """An image message as it came over the wire."""

    message_type: type
    data: bytes


@dataclass(frozen=True)
class DepthSource:
    """What is known of a depth camera whose depth is not aligned: its camera_info, and how the sensors are fixed."""

    info: CameraInfo
    frames: StaticFrames
    rectified: bool


@dataclass(frozen=True)
class ReceivedFrame:
    """The images of one instant, not yet decoded; `arrived_s` is monotonic time of the last of them.

    `rectified`: the images are, so that P of `info` is theirs. `depth_source` is None for aligned depth.
    """

    images: dict[str, Serialized]
    info: CameraInfo
    arrived_s: float
    rectified: bool = False
    depth_source: DepthSource | None = None

    def decode(self, make_frame: FrameMaker) -> Frame:
        """The frame, with the header of the colour image (of the depth image where there is no colour).

        Raises:
            DecodeError: an image that cannot be read.
            InvalidData: sizes that do not fit together, or an unusable camera_info.
            NoTransform: where the depth camera is relative to the colour camera is not known.
        """
        messages = {name: _deserialize(item) for name, item in self.images.items()}
        color = color_from_message(messages[COLOR]) if COLOR in messages else None
        depth = depth_of(messages[DEPTH]) if DEPTH in messages else None
        header = messages[COLOR if COLOR in messages else DEPTH].header
        camera = intrinsics_of(self.info, self.rectified)
        depth_camera = None
        if color is not None and depth is not None:
            depth_camera = self._depth_camera(messages[DEPTH].header.frame_id, header.frame_id)
        return make_frame(stamp_of(header), header.frame_id, camera, color, depth, depth_camera)

    def _depth_camera(self, depth_frame: str, color_frame: str) -> DepthCamera | None:
        source = self.depth_source
        if source is None or depth_frame == color_frame:
            return None
        extrinsics = source.frames.between(depth_frame, color_frame)
        return DepthCamera(intrinsics_of(source.info, source.rectified), extrinsics)


def _deserialize(item: Serialized) -> Any:
    try:
        return deserialize_message(item.data, item.message_type)
    except rclpy_implementation.RMWError as error:
        raise DecodeError(
            f"{item.message_type.__name__}: expected a whole message, got {len(item.data)} other bytes ({error})"
        ) from error
