"""Runs a launch file as `ros2 launch` does, watches it from a node of its own, ends it; prints what it saw as JSON.

A process of its own because the middleware is chosen when rclpy is loaded. Input: a JSON object with `file` (in
launch/), `arguments`, and optionally `base` (publish base_link -> camera, that many metres along x) and `bag` (a
recording that is played beside, over and over, in the camera's place).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import get_package_share_directory
from geometry_msgs.msg import TransformStamped
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node as Program
from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformListener

from hand_pose_ros.msg import HandArray, HandMeshTopology
from hand_pose_ros.ros.outputs import LATCHED_QOS
from hand_pose_ros.sources.scene_messages import stamp_of

ENOUGH = 10  # results with a hand
PATIENCE = 60.0  # seconds


class Observer:
    """What a user's program would do with the node's output."""

    def __init__(self, base: float | None) -> None:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("observer")
        self.hands: list[HandArray] = []
        self.topologies: list[HandMeshTopology] = []
        self.node.create_subscription(HandArray, "/hand_pose/hands", self.hands.append, 50)
        self.node.create_subscription(HandMeshTopology, "/hand_pose/mesh_topology", self.topologies.append, LATCHED_QOS)
        self.buffer = Buffer()
        self.listener = TransformListener(self.buffer, self.node)
        self.state = self.node.create_client(GetState, "/hand_pose/get_state")
        if base is not None:
            transform = TransformStamped()
            transform.header.frame_id, transform.child_frame_id = "base_link", "camera"
            transform.transform.translation.x, transform.transform.rotation.w = base, 1.0
            self.broadcaster = StaticTransformBroadcaster(self.node)
            self.broadcaster.sendTransform(transform)

    def watch(self) -> dict[str, Any]:
        """Spin until there are enough hands whose wrist TF knows."""
        end = time.monotonic() + PATIENCE
        matched: list[float] = []
        looked_up = 0
        while time.monotonic() < end and len(matched) < ENOUGH:
            rclpy.spin_once(self.node, timeout_sec=0.1)
            seen = [message for message in self.hands if message.hands]
            for message in seen[looked_up:-3]:  # TF comes on another topic: give it a little time
                looked_up += 1
                matched += self._distance(message)
        return {
            "results": len(self.hands),
            "frames": sorted({message.header.frame_id for message in self.hands}),
            "tf_distances": matched,
            "wrist_x": [message.hands[0].wrist.position.x for message in self.hands if message.hands],
            "topologies": len(self.topologies),
            "state": self._state(),
        }

    def _distance(self, message: HandArray) -> list[float]:
        """Between the wrist of the message and the wrist frame of TF at the same instant (metres)."""
        hand = message.hands[0]
        frame = "left_wrist" if hand.side == hand.SIDE_LEFT else "right_wrist"
        stamp = Time(nanoseconds=stamp_of(message.header))
        if not self.buffer.can_transform(message.header.frame_id, frame, stamp):
            return []
        found = self.buffer.lookup_transform(message.header.frame_id, frame, stamp).transform.translation
        wrist = hand.wrist.position
        return [((found.x - wrist.x) ** 2 + (found.y - wrist.y) ** 2 + (found.z - wrist.z) ** 2) ** 0.5]

    def _state(self) -> str:
        if not self.state.wait_for_service(5.0):
            return "no service"
        answer = self.state.call_async(GetState.Request())
        rclpy.spin_until_future_complete(self.node, answer, timeout_sec=5.0)
        return answer.result().current_state.label if answer.done() else "no answer"


def main() -> None:
    """Launch, watch, end, print."""
    request = json.loads(sys.argv[1])
    path = Path(get_package_share_directory("hand_pose_ros")) / "launch" / request["file"]
    exits: dict[str, int] = {}
    description = LaunchDescription(
        [
            RegisterEventHandler(
                OnProcessExit(on_exit=lambda event, context: exits.update({event.process_name: event.returncode}))
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(path)), launch_arguments=request["arguments"].items()
            ),
        ]
    )
    if "bag" in request:
        settings = {"bag": request["bag"], "loop": True, "clock": False}
        description.add_action(Program(package="hand_pose_ros", executable="hand_pose_player", parameters=[settings]))
    service = LaunchService(noninteractive=True)
    service.include_launch_description(description)
    seen: dict[str, Any] = {}
    observer = Observer(request.get("base"))

    def watch() -> None:
        try:
            seen.update(observer.watch())
        finally:
            seen["asked_to_end"] = time.monotonic()
            service.shutdown()

    thread = threading.Thread(target=watch)
    thread.start()
    code = service.run()
    seen["shutdown_s"] = time.monotonic() - seen.pop("asked_to_end", time.monotonic())
    thread.join()
    sys.stdout.write("PROBE " + json.dumps({**seen, "code": code, "exits": exits}) + "\n")


if __name__ == "__main__":
    main()
