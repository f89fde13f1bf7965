"""The node's /diagnostics: gathered from where things happen, sent now and then."""

from __future__ import annotations

import time
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_msgs.msg import Header

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.ros.camera import CameraInput
from hand_pose_ros.ros.diagnostics import Monitor, Silence, building_array, diagnostic_array
from hand_pose_ros.ros.inputs import Inputs
from hand_pose_ros.ros.resources import resources


class Reporter:
    """Sends what `monitor` counted on behalf of `node`, and logs silent topics once."""

    def __init__(self, node: Node, monitor: Monitor) -> None:
        self._node = node
        self._monitor = monitor
        self._silence = Silence()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def building(self, text: str) -> None:
        """An engine is being built, or another process builds one; called about twice a second meanwhile."""
        if not self._node.context.ok():  # the build is about to be ended
            return
        self._publisher.publish(building_array(self._header(), self._name(), text))

    def report(self, inputs: Inputs | CameraInput | None, facts: Mapping[str, str]) -> None:
        """The state since the last report; without `inputs` the node is not active."""
        drops, silent = (inputs.drops, inputs.silent()) if inputs is not None else (None, ())
        report = self._monitor.report(time.monotonic(), drops, silent)
        if inputs is not None and (news := self._silence.news(silent)) is not None:
            self._node.get_logger().warning(news)
        self._publisher.publish(diagnostic_array(self._header(), self._name(), report, inputs is not None, facts))

    def _header(self) -> Header:
        return Header(stamp=self._node.get_clock().now().to_msg())

    def _name(self) -> str:
        return str(self._node.get_fully_qualified_name().lstrip("/"))


def what_runs(config: NodeConfig, pipeline: Pipeline | None, inputs: Inputs | CameraInput | None) -> Mapping[str, str]:
    """Models, engines, settings and what they take of the machine."""
    tolerance = config.sync.tolerance_ms
    sync = "exact stamps" if tolerance == 0 else f"within {tolerance:g} ms"
    runs = {} if pipeline is None else pipeline.describe()
    held = resources(() if pipeline is None else pipeline.engines().values())
    return {**runs, **held, "sync": sync, **({} if inputs is None else inputs.facts())}
