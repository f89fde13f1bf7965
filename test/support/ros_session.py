"""A ROS context with nodes that spin in a thread. Imports rclpy only when used."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest


class Ros:
    """A ROS context with nodes that spin in a thread."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._nodes: list[Any] = []
        self._thread = threading.Thread(target=self._spin)
        self._end = False
        self._thread.start()

    def node(self, kind: type, **arguments: Any) -> Any:
        """A node of this context that does not spin yet; keywords `parameters` are its parameter overrides."""
        from rclpy.parameter import Parameter

        given = arguments.pop("parameters", {})
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = kind(context=self.context, parameter_overrides=overrides, **arguments)
        self._nodes.append(node)
        return node

    def spin(self, node: Any) -> None:
        """Let it spin."""
        self._executor.add_node(node)

    def listen(self, kind: type, topic: str, qos: Any = 200) -> list[Any]:
        """A list that fills with the messages of a topic."""
        from rclpy.node import Node

        node = self.node(Node, node_name=f"listener_{len(self._nodes)}")
        received: list[Any] = []
        node.create_subscription(kind, topic, received.append, qos)
        self.spin(node)
        return received

    def close(self) -> None:
        self._end = True
        self._thread.join()
        self._executor.shutdown()
        for node in reversed(self._nodes):
            node.destroy_node()
        self.context.try_shutdown()

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        with contextlib.suppress(ExternalShutdownException):
            while not self._end and self.context.ok():
                self._executor.spin_once(timeout_sec=0.05)


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 30.0, pause: float = 0.02) -> None:
    """Wait until something is so; fail if it never is."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout:g} s in vain: {what}")
        time.sleep(pause)
