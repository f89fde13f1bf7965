"""The node's input side: subscriptions that only store, and pairing by stamp.

Images are taken as serialised bytes and decoded by the worker: a frame that a newer one replaces costs no decoding,
and only its stamp is read here.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hand_pose_ros.config import ConfigError, SyncConfig, TopicConfig
from hand_pose_ros.ros.images import color_from_message
from hand_pose_ros.sources.image_messages import depth_of, intrinsics_of
from hand_pose_ros.sources.pairing import StampPairer
from hand_pose_ros.sources.scene_messages import stamp_of
from hand_pose_ros.types import Frame, InvalidData

COLOR: Final = "color"
DEPTH: Final = "depth"
INFO: Final = "camera_info"
NO_CAMERA_INFO: Final = "no_camera_info"

# Only the newest frame is of interest, but colour and depth come one after the other: with a depth of 1 a short
# starvation leaves images of different instants; on a busy machine (load 9 on two cores, 90 frames at 30 Hz) 13 and 15
# frames were paired, with 5 it was 80 and 55.
_DEPTH: Final = 5
# Best effort matches every publisher, but between processes Fast DDS then loses most images that are larger than its
# shared-memory segment: of 90 raw 640x480 images 15 arrived, reliably all 90 (rmw_fastrtps issues 739 and 757).
BEST_EFFORT: Final = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=_DEPTH,
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)
RELIABLE: Final = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=_DEPTH,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)


@dataclass(frozen=True)
class Serialized:
    """An image message as it came over the wire."""

    message_type: type
    data: bytes


@dataclass(frozen=True)
class ReceivedFrame:
    """The images of one instant, not yet decoded; `arrived_s` is monotonic time of the last of them."""

    images: dict[str, Serialized]
    info: CameraInfo
    arrived_s: float

    def decode(self) -> Frame:
        """The frame, with the header of the colour image (of the depth image where there is no colour).

        Raises:
            DecodeError: an image that cannot be read.
            InvalidData: sizes that do not fit together, or an unusable camera_info.
        """
        messages = {name: deserialize_message(item.data, item.message_type) for name, item in self.images.items()}
        color = color_from_message(messages[COLOR]) if COLOR in messages else None
        depth = depth_of(messages[DEPTH]) if DEPTH in messages else None
        if color is not None and depth is not None and color.shape[:2] != depth.shape:
            raise InvalidData(
                f"depth image: expected the colour image's size {color.shape[1]}x{color.shape[0]}, got "
                f"{depth.shape[1]}x{depth.shape[0]}; subscribe to the depth aligned to colour (align_depth.enable)"
            )
        header = messages[COLOR if COLOR in messages else DEPTH].header
        return Frame(stamp_of(header), header.frame_id, intrinsics_of(self.info), color, depth)


@dataclass
class _Stream:
    """An image topic and how it is subscribed to at present."""

    name: str
    kind: type
    topic: str
    qos: QoSProfile | None = None
    subscription: Any = None


class Inputs:
    """Subscriptions of a node; complete sets of images go to `deliver`, newest wins.

    Args:
        node: subscribes.
        topics, sync: which topics and how to pair them.
        deliver: called in the executor's thread with every complete set.
        dropped: called with a reason for complete sets that cannot be used.
        color_alone: colour images need no depth: they are delivered alone while no depth image comes.

    Raises:
        ConfigError: neither colour nor depth is asked for.
    """

    def __init__(
        self,
        node: Node,
        topics: TopicConfig,
        sync: SyncConfig,
        deliver: Callable[[ReceivedFrame], None],
        dropped: Callable[[str], None],
        color_alone: bool = False,
    ) -> None:
        streams = image_streams(topics)
        self.pairer = StampPairer(tuple(streams), round(sync.tolerance_ms * 1e6), sync.capacity)
        self._node = node
        self._deliver = deliver
        self._dropped = dropped
        self._info: CameraInfo | None = None
        self._reliability = topics.reliability
        self._heard: set[str] = set()
        both = COLOR in streams and DEPTH in streams
        self._patience = topics.depth_patience if color_alone and both and topics.depth_patience > 0 else math.inf
        self._color_at = self._depth_at = -math.inf
        # First, since the executor serves what is ready in this order and a frame takes the newest camera_info.
        self._info_subscription = node.create_subscription(CameraInfo, topics.camera_info, self._on_info, BEST_EFFORT)
        self._streams = [_Stream(name, kind, topic) for name, (kind, topic) in streams.items()]
        for stream in self._streams:
            self._subscribe(stream, BEST_EFFORT)
        self.adapt()

    @property
    def topics(self) -> list[str]:
        """Names of the image topics, resolved."""
        return [stream.subscription.topic_name for stream in self._streams]

    def adapt(self) -> None:
        """Subscribe to each image topic as its publishers offer it; call it now and then, publishers come and go."""
        for stream in self._streams:
            wanted = self._wanted(stream.subscription.topic_name)
            if wanted is not None and wanted != stream.qos:
                self._node.destroy_subscription(stream.subscription)
                self._subscribe(stream, wanted)
                self._node.get_logger().info(f"{stream.subscription.topic_name}: {wanted.reliability.name.lower()}")

    def silent(self) -> tuple[str, ...]:
        """The topics on which nothing came since the last call."""
        topics = {stream.name: stream.subscription.topic_name for stream in self._streams}
        if self._info is None:  # once is enough
            topics[INFO] = self._info_subscription.topic_name
        silent = tuple(topic for name, topic in topics.items() if name not in self._heard)
        self._heard.clear()
        return silent

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in (self._info_subscription, *(stream.subscription for stream in self._streams)):
            self._node.destroy_subscription(subscription)
        self._streams.clear()

    def _wanted(self, topic: str) -> QoSProfile | None:
        if self._reliability != "auto":
            return RELIABLE if self._reliability == "reliable" else BEST_EFFORT
        offered = [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(topic)]
        if not offered:
            return None
        return RELIABLE if all(item == ReliabilityPolicy.RELIABLE for item in offered) else BEST_EFFORT

    def _subscribe(self, stream: _Stream, qos: QoSProfile) -> None:
        callback = partial(self._on_image, stream.name, stream.kind)
        stream.qos = qos
        stream.subscription = self._node.create_subscription(stream.kind, stream.topic, callback, qos, raw=True)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_image(self, name: str, kind: type, data: bytes) -> None:
        self._heard.add(name)
        now, stamp_ns, item = time.monotonic(), serialized_stamp_ns(data), Serialized(kind, data)
        complete = {COLOR: item} if self._without_depth(name, now) else self.pairer.add(name, stamp_ns, item)
        if complete is None:
            return
        if self._info is None:
            self._dropped(NO_CAMERA_INFO)
            return
        self._deliver(ReceivedFrame(complete, self._info, now))

    def _without_depth(self, name: str, now: float) -> bool:
        """Whether this image is of colour and needs to wait for depth no longer."""
        if name == DEPTH:
            self._depth_at = now
            return False
        if now - self._color_at > self._patience:
            self._depth_at = now  # the camera was silent as a whole: its depth comes in a moment
        self._color_at = now
        return now - self._depth_at > self._patience


def serialized_stamp_ns(data: bytes) -> int:
    """The stamp of a serialised message that begins with a std_msgs/Header.

    CDR: four bytes of encapsulation, of which the second one's lowest bit is the byte order, then int32 seconds and
    uint32 nanoseconds.
    """
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def image_streams(topics: TopicConfig) -> dict[str, tuple[type, str]]:
    """Stream name -> (message type, topic)."""
    streams: dict[str, tuple[type, str]] = {}
    if topics.use_color:
        raw = topics.color_transport == "raw"
        streams[COLOR] = (Image, topics.color) if raw else (CompressedImage, topics.color + "/compressed")
    if topics.use_depth:
        raw = topics.depth_transport == "raw"
        streams[DEPTH] = (Image, topics.depth) if raw else (CompressedImage, topics.depth + "/compressedDepth")
    if not streams:
        raise ConfigError("topics: expected use_color or use_depth to be true, got neither")
    return streams
