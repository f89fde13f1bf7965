"""Listens to a camera's topics for a few seconds, for `hand_pose doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CameraInfo

from hand_pose_ros.config import TopicConfig
from hand_pose_ros.ros.images import color_from_message
from hand_pose_ros.ros.inputs import BEST_EFFORT, DEPTH_INFO, INFO, RELIABLE, image_streams, serialized_stamp_ns
from hand_pose_ros.ros.received import COLOR
from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.sources.image_messages import depth_of, intrinsics_of
from hand_pose_ros.sources.survey import StreamSeen, Survey
from hand_pose_ros.types import InvalidData

# Discovery of publishers on the network (s).
_DISCOVERY = 1.0
_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo")


def survey(topics: TopicConfig, seconds: float) -> Survey:
    """What comes on the topics within `seconds`, on a context of its own.

    Raises:
        ConfigError: neither colour nor depth is asked for.
    """
    kinds = {INFO: (CameraInfo, topics.camera_info), **image_streams(topics)}
    if topics.depth_camera_info:
        kinds[DEPTH_INFO] = (CameraInfo, topics.depth_camera_info)
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = Node("hand_pose_doctor", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        _spin(executor, _DISCOVERY)
        ears = {name: _Ear(node, name, kind, topic) for name, (kind, topic) in kinds.items()}
        _spin(executor, seconds)
        there = {
            topic: types[0]
            for topic, types in node.get_topic_names_and_types()
            if types[0] in _IMAGES and node.count_publishers(topic)
        }
        seen = {name: ear.seen() for name, ear in ears.items()}
        executor.shutdown()
        node.destroy_node()
    finally:
        context.try_shutdown()
    return Survey(seconds, get_rmw_implementation_identifier(), seen, there)


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


class _Ear:
    """One subscription, in the way the publishers offer it."""

    def __init__(self, node: Node, name: str, kind: type, topic: str) -> None:
        self._node, self._name, self._kind = node, name, kind
        self._stamps: list[int] = []
        self._delays: list[float] = []
        self._last: bytes | None = None
        offered = [item.qos_profile.reliability for item in node.get_publishers_info_by_topic(_resolved(node, topic))]
        reliable = bool(offered) and all(item == ReliabilityPolicy.RELIABLE for item in offered)
        self._reliability = ("reliable" if reliable else "best_effort") if offered else ""
        qos = RELIABLE if reliable else BEST_EFFORT
        self._subscription = node.create_subscription(kind, topic, self._on_message, qos, raw=True)

    def _on_message(self, data: bytes) -> None:
        stamp = serialized_stamp_ns(data)
        self._stamps.append(stamp)
        self._delays.append(time.time() - stamp * 1e-9)
        self._last = data

    def seen(self) -> StreamSeen:
        """What came."""
        topic = self._subscription.topic_name
        publishers = self._node.get_publishers_info_by_topic(topic)
        size, about, problem = None, "", ""
        if self._last is not None:
            message = deserialize_message(self._last, self._kind)
            try:
                size, about = _READERS.get(self._name, _read_depth)(message)
            except (DecodeError, InvalidData) as error:
                problem = str(error)
        return StreamSeen(
            topic=topic,
            msgtype=_type_name(self._kind),
            offered=tuple(sorted({item.topic_type for item in publishers})),
            publishers=len(publishers),
            reliability=self._reliability,
            stamps_ns=tuple(self._stamps),
            delays_s=tuple(self._delays),
            size=size,
            about=about,
            problem=problem,
        )


def _read_color(message: Any) -> tuple[tuple[int, int], str]:
    height, width = color_from_message(message).shape[:2]
    return (width, height), getattr(message, "encoding", None) or message.format


def _read_depth(message: Any) -> tuple[tuple[int, int], str]:
    depth = depth_of(message)
    encoding = getattr(message, "encoding", None) or message.format
    return (depth.shape[1], depth.shape[0]), f"{encoding}, {(depth > 0).mean():.0%} with a reading"


def _read_info(message: Any) -> tuple[tuple[int, int], str]:
    camera = intrinsics_of(message)
    return (camera.width, camera.height), f"focal length {camera.fx:.0f} pixels in {message.header.frame_id}"


_READERS: dict[str, Callable[[Any], tuple[tuple[int, int], str]]] = {
    COLOR: _read_color,
    INFO: _read_info,
    DEPTH_INFO: _read_info,
}


def _resolved(node: Node, topic: str) -> str:
    return str(node.resolve_topic_name(topic))


def _type_name(kind: type) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
