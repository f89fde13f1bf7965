"""The node's input side: subscriptions that only store, and pairing by stamp.

Images are taken as serialised bytes and decoded by the worker: a frame that a newer one replaces costs no decoding,
and only its stamp is read here.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hand_pose_ros.config import SyncConfig, TopicConfig
from hand_pose_ros.options import ConfigError
from hand_pose_ros.ros.received import COLOR, DEPTH, DepthSource, ReceivedFrame, Serialized
from hand_pose_ros.ros.static_frames import StaticFrames
from hand_pose_ros.sources.image_messages import is_rectified
from hand_pose_ros.sources.pairing import StampPairer

INFO: Final = "camera_info"
DEPTH_INFO: Final = "depth_camera_info"
NO_CAMERA_INFO: Final = "no_camera_info"
NO_STAMP: Final = "no_stamp"
DAMAGED: Final = "damaged"

# Encapsulation and stamp.
_HEADER_BYTES: Final = 12
_REMEDY: Final = "let the camera's driver stamp its images: without, nobody knows which of them belong together"

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
        dropped: called with a reason, and where there is something to mend a text, for what cannot be used.
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
        dropped: Callable[[str, str], None],
        color_alone: bool = False,
    ) -> None:
        streams = image_streams(topics)
        self.pairer = StampPairer(tuple(streams), round(sync.tolerance_ms * 1e6), sync.capacity)
        self._node = node
        self._deliver = deliver
        self._dropped = dropped
        self._topics = topics
        self._info: CameraInfo | None = None
        self._depth_info: CameraInfo | None = None
        self._frames: StaticFrames | None = None
        self._reliability = topics.reliability
        self._heard: set[str] = set()
        both = COLOR in streams and DEPTH in streams
        self._may_lack_depth = color_alone and both
        self._color_at = self._depth_at = -math.inf
        # First, since the executor serves what is ready in this order and a frame takes the newest camera_info.
        self._infos = {INFO: self._subscribe_info(topics.camera_info, self._on_info)}
        if both and topics.depth_camera_info:
            self._infos[DEPTH_INFO] = self._subscribe_info(topics.depth_camera_info, self._on_depth_info)
            self._frames = StaticFrames(node)
        self._streams = [_Stream(name, kind, topic) for name, (kind, topic) in streams.items()]
        for stream in self._streams:
            self._subscribe(stream, BEST_EFFORT)
        self.adapt()

    @property
    def topics(self) -> list[str]:
        """Names of the image topics, resolved."""
        return [stream.subscription.topic_name for stream in self._streams]

    @property
    def drops(self) -> Mapping[str, int]:
        """Images that were in no set, by reason."""
        return self.pairer.drops

    @property
    def waiting(self) -> int:
        """Images that wait for their companions."""
        return self.pairer.waiting

    def facts(self) -> Mapping[str, str]:
        """Nothing beside the settings."""
        return {}

    def reconfigure(self, topics: TopicConfig, sync: SyncConfig) -> None:
        """Take over what may be changed while running: the tolerance and the patience."""
        self._topics = topics
        self.pairer.tolerance_ns = round(sync.tolerance_ms * 1e6)

    def reset(self) -> None:
        """Forget what waits: time has jumped."""
        self.pairer.reset()

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
        heard = {INFO: self._info is not None, DEPTH_INFO: self._depth_info is not None}  # once is enough
        topics.update({name: item.topic_name for name, item in self._infos.items() if not heard[name]})
        silent = tuple(topic for name, topic in topics.items() if name not in self._heard)
        self._heard.clear()
        return silent

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in (*self._infos.values(), *(stream.subscription for stream in self._streams)):
            self._node.destroy_subscription(subscription)
        self._streams.clear()
        if self._frames is not None:
            self._frames.close()
            self._frames = None

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

    def _subscribe_info(self, topic: str, callback: Callable[[CameraInfo], None]) -> Any:
        return self._node.create_subscription(CameraInfo, topic, callback, BEST_EFFORT)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_depth_info(self, message: CameraInfo) -> None:
        self._depth_info = message

    def _on_image(self, name: str, kind: type, data: bytes) -> None:
        self._heard.add(name)
        if len(data) < _HEADER_BYTES:
            self._dropped(DAMAGED, f"{name}: expected an image message, got {len(data)} bytes")
            return
        now, stamp_ns, item = time.monotonic(), serialized_stamp_ns(data), Serialized(kind, data)
        if stamp_ns <= 0:
            self._dropped(
                NO_STAMP, f"{name}: expected the time of exposure in the header, got {stamp_ns} ns; {_REMEDY}"
            )
            return
        complete = {COLOR: item} if self._without_depth(name, now) else self.pairer.add(name, stamp_ns, item)
        if complete is not None:
            self._complete(complete, now)

    def _complete(self, images: dict[str, Serialized], now: float) -> None:
        if self._info is None:
            self._dropped(NO_CAMERA_INFO, "")  # at the start nobody need mend anything; a silent topic is named
            return
        source = None
        if self._frames is not None and len(images) > 1:
            if self._depth_info is None:
                self._dropped(NO_CAMERA_INFO, "")
                return
            source = DepthSource(self._depth_info, self._frames, self._rectified(DEPTH))
        rectified = self._rectified(COLOR if COLOR in images else DEPTH)
        self._deliver(ReceivedFrame(images, self._info, now, rectified, source))

    def _rectified(self, name: str) -> bool:
        if self._topics.rectified != "auto":
            return self._topics.rectified == "yes"
        topic = next(stream.subscription.topic_name for stream in self._streams if stream.name == name)
        return is_rectified(topic)

    def _without_depth(self, name: str, now: float) -> bool:
        """Whether this image is of colour and needs to wait for depth no longer."""
        if name == DEPTH:
            self._depth_at = now
            return False
        patience = self._topics.depth_patience
        if not self._may_lack_depth or patience == 0:
            return False
        if now - self._color_at > patience:
            self._depth_at = now  # the camera was silent as a whole: its depth comes in a moment
        self._color_at = now
        return now - self._depth_at > patience


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
