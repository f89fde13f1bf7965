"""The program `hand_pose_node`: start the node, spin it, end it."""

from __future__ import annotations

import signal
import sys
import time
from typing import Final

import rclpy
from rclpy.executors import ExternalShutdownException

from hand_pose_ros.options import ConfigError
from hand_pose_ros.ros.ending import leave_in_time, until_shutdown
from hand_pose_ros.ros.node import NODE_NAME, HandPoseNode, StartError

# Seconds that a signal's shutdown may take to reach the context.
SIGNAL_GRACE: Final = 0.5


def _spin(node: HandPoseNode) -> None:
    """Spin until the end; a signal that arrives while a message is taken shows as a RuntimeError of the taking."""
    try:
        rclpy.spin(node)
    except RuntimeError:
        deadline = time.monotonic() + SIGNAL_GRACE
        while node.context.ok() and time.monotonic() < deadline:
            time.sleep(0.01)
        if node.context.ok():
            raise


def _live(node: HandPoseNode) -> None:
    if node.config.autostart:
        node.start()
    with until_shutdown(node.context):
        _spin(node)


def _heed_interrupts() -> None:
    """Shells start what runs in the background with SIGINT ignored. rclpy shuts its context down at one all the same,
    and nobody would wake what the main thread waits for, such as models that load."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is told to end; the exit status is 1 where it could not start or broke."""
    _heed_interrupts()
    rclpy.init(args=args)
    node: HandPoseNode | None = None
    ended = leave_in_time(rclpy.get_default_context(), lambda: int(node is not None and node.failure is not None))
    try:
        node = HandPoseNode()
        if node.config.build_only:
            node.build()
        else:
            _live(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ConfigError, StartError) as error:
        rclpy.logging.get_logger(NODE_NAME).fatal(str(error))
        sys.exit(1)
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        ended.set()
    if node is not None and node.failure is not None:
        sys.exit(1)
