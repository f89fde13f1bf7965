"""Plays a ROS 2 recording over DDS at its own pace, for machines without rosbag2.

Messages are sent as the serialised bytes that are stored, so every installed message type works and nothing is decoded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from hand_pose_ros.options import ConfigError, option
from hand_pose_ros.ros.ending import until_shutdown
from hand_pose_ros.ros.message_classes import make, message_class
from hand_pose_ros.ros.parameters import declare_config
from hand_pose_ros.sources.bag_storage import BagStorage, Topic
from hand_pose_ros.sources.errors import BagError
from hand_pose_ros.sources.salvage import StoredMessage

# Sent once at the beginning of a recording and wanted by whoever comes later.
_LATCHED: Final = ("/tf_static", "/robot_description", "mesh_topology")
# Between two looks at whether somebody listens, or whether the node is told to end (s).
_PATIENCE: Final = 0.05
# From the first subscriber found to the others of the same node (s).
_SETTLE: Final = 0.5


@dataclass(frozen=True)
class PlayerConfig:
    """Parameters of the player."""

    bag: str = option("", "The recording: a rosbag2 folder, a .mcap or a .db3 file.")
    rate: float = option(1.0, "Speed; 2 plays twice as fast.", minimum=0.01, maximum=100.0)
    loop: bool = option(False, "Begin again at the end.")
    clock: bool = option(True, "Publish /clock with the time of recording.")
    wait: float = option(
        10.0, "Wait this long (s) for subscribers of the image topics before playing.", minimum=0.0, maximum=600.0
    )


class BagPlayer(Node):  # type: ignore[misc]  # rclpy carries no types
    """Publishes the messages of a recording.

    Raises:
        ConfigError: wrong parameters.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(arguments.pop("node_name", "hand_pose_player"), **arguments)
        self.config = declare_config(self, PlayerConfig)
        self.sent = 0
        self._senders: dict[str, Any] = {}
        self._clock_sender = self.create_publisher(Clock, "/clock", 10) if self.config.clock else None

    def play(self) -> None:
        """Play the recording, once or until told to end.

        Raises:
            BagError: it cannot be read, or none of its message types is installed.
        """
        with BagStorage(Path(self.config.bag)) as storage:
            self._advertise(storage.topics.values())
            self._wait_for_subscribers(storage.topics.values())
            while True:
                self._play_once(storage.messages(list(self._senders)))
                if not (self.config.loop and self.context.ok()):
                    break
            for problem in storage.problems:
                self.get_logger().warning(problem)
        self.get_logger().info(f"played {self.sent} messages of {self.config.bag}")

    def _advertise(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            try:
                kind = message_class(topic.msgtype)
            except (ImportError, AttributeError) as error:
                self.get_logger().warning(f"{topic.name} is left out: {topic.msgtype} is not installed ({error})")
                continue
            self._senders[topic.name] = self.create_publisher(kind, topic.name, _qos(topic.name))
        if not self._senders:
            raise BagError(f"{self.config.bag}: expected topics whose message types are installed, got none")

    def _wait_for_subscribers(self, topics: Iterable[Topic]) -> None:
        """Discovery takes a moment; without this the beginning would be lost."""
        images = [self._senders[topic.name] for topic in topics if topic.msgtype.endswith("Image")]
        images = images or list(self._senders.values())
        end = time.monotonic() + self.config.wait
        while self.context.ok() and time.monotonic() < end:
            if any(publisher.get_subscription_count() for publisher in images):
                time.sleep(_SETTLE)
                return
            time.sleep(_PATIENCE)

    def _play_once(self, messages: Iterable[StoredMessage]) -> None:
        start: tuple[int, float] | None = None
        for message in messages:
            now = time.monotonic()
            start = start or (message.log_time_ns, now)
            due = start[1] + (message.log_time_ns - start[0]) * 1e-9 / self.config.rate
            if not _sleep_until(due, self.context.ok):
                return
            if self._clock_sender is not None:
                sec, nanosec = divmod(message.log_time_ns, 10**9)
                self._clock_sender.publish(Clock(clock=make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)))
            self._senders[message.topic].publish(bytes(message.data))
            self.sent += 1


def _sleep_until(due: float, go_on: Callable[[], bool]) -> bool:
    """Sleep until this monotonic time; False when told to end before."""
    while (left := due - time.monotonic()) > 0:
        if not go_on():
            return False
        time.sleep(min(left, _PATIENCE))
    return go_on()


def _qos(topic: str) -> QoSProfile:
    latched = topic.endswith(_LATCHED)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def main(args: list[str] | None = None) -> None:
    """Play the recording that the parameter `bag` names; the exit status is 1 where it cannot be played."""
    rclpy.init(args=args)
    player: BagPlayer | None = None
    try:
        player = BagPlayer()
        with until_shutdown(player.context):
            player.play()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ConfigError, BagError) as error:
        rclpy.logging.get_logger("hand_pose_player").fatal(str(error))
        sys.exit(1)
    finally:
        if player is not None:
            player.destroy_node()
        rclpy.try_shutdown()
