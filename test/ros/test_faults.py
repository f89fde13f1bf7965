"""Bad input is counted and said; the node goes on. A broken worker ends the node."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import ReliabilityPolicy
from ros_camera import Camera, blank

from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.ros.node import HandPoseNode
from hand_pose_ros.types import Frame, Scene


@pytest.fixture
def node(ros: Ros, toy_parameters: dict[str, Any]) -> HandPoseNode:
    node: HandPoseNode = ros.node(HandPoseNode, parameters=toy_parameters)
    node.start()
    ros.spin(node)
    return node


BAD = [
    pytest.param({"color": {"encoding": "yuv9"}}, "yuv9", id="unknown colour encoding"),
    pytest.param({"encoding": "rgb8"}, "rgb8", id="depth that is colour"),
    pytest.param({"color": {"data": blank(1)}}, "truncated", id="colour that is too short"),
    pytest.param({"step": 5}, "step", id="wrong step"),
    pytest.param({"width": 32, "step": 64, "data": blank(1)}, "aligned", id="depth that is not aligned"),
    pytest.param({"info": {"k": np.zeros(9)}}, "calibrated", id="uncalibrated camera"),
    pytest.param({"info": {"width": 8}}, "aspect ratio", id="camera_info of another view"),
    pytest.param(
        {"info": {"distortion_model": "mei", "d": array.array("d", [0.1, 0, 0, 0])}},
        "'mei'",
        id="a lens that nobody knows",
    ),
]


@pytest.mark.parametrize(("fault", "word"), BAD)
def test_bad_frame_is_counted_and_the_next_good_one_is_processed(
    ros: Ros, node: HandPoseNode, fault: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    camera = Camera(ros)
    camera.connect()
    bad: list[int] = []

    def counted() -> bool:
        bad.append(camera.shoot(**fault))
        return bool(node.monitor.totals().drops["invalid_input"] >= 2)

    wait_for(counted, "two faults to be counted", pause=0.1)
    assert len(logged) == 1 and word in logged[0], "expected one line that names the fault"
    wait_for(lambda: camera.shoot() > bad[-1] and camera.answers[-1].header.stamp.sec > bad[-1], "a good frame")
    if "info" not in fault:  # a camera_info holds for the images that come after it, not for those of its stamp
        assert not set(bad) & {message.header.stamp.sec for message in camera.answers}
    assert camera.answers[0].header.frame_id == "camera_color_optical_frame"


def test_frames_before_camera_info_are_counted(ros: Ros, toy_parameters: dict[str, Any]) -> None:
    node = ros.node(HandPoseNode, parameters={**toy_parameters, "topics.camera_info": "/nowhere"})
    node.start()
    ros.spin(node)
    camera = Camera(ros)
    wait_for(lambda: camera.shoot() > 0 and node.monitor.totals().drops["no_camera_info"] > 0, "the drop to be counted")
    assert node.monitor.totals().frames_out == 0


def test_a_broken_worker_ends_the_node(
    ros: Ros, elsewhere: Ros, node: HandPoseNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node without its worker would look alive and say nothing."""

    def broken(self: Pipeline, frame: Frame) -> Scene:
        raise RuntimeError("out of memory on the device")

    camera = Camera(elsewhere)
    camera.connect()
    monkeypatch.setattr(Pipeline, "process", broken)
    monkeypatch.setattr("threading.excepthook", lambda arguments: None)  # the thread is meant to end so
    # Again and again: a single frame may fall into the moment in which the node subscribes anew.
    wait_for(lambda: not ros.context.ok() or not camera.shoot(), "the context to be shut down", pause=0.1)
    assert "out of memory" in str(node.failure)


@pytest.mark.parametrize("offered", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_images_are_subscribed_to_as_they_are_offered(ros: Ros, node: HandPoseNode, offered: ReliabilityPolicy) -> None:
    """Publishers may come after the node, and best effort ones must be heard too."""
    topic = "/camera/camera/color/image_raw"
    wait_for(lambda: node.count_subscribers(topic) == 1, "the subscription")
    camera = Camera(ros, offered)
    camera.connect()

    def policies() -> list[ReliabilityPolicy]:
        return [info.qos_profile.reliability for info in node.get_subscriptions_info_by_topic(topic)]

    wait_for(lambda: policies() == [offered], "the subscription to match the offer")
    before = node.monitor.totals().frames_out
    wait_for(lambda: camera.shoot() > 0 and node.monitor.totals().frames_out > before, "frames after the change")


def test_a_topic_on_which_nothing_comes_is_named(ros: Ros, toy_parameters: dict[str, Any]) -> None:
    """Colour and camera_info come, depth does not: the commonest mistake."""
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    node = ros.node(HandPoseNode, parameters={**toy_parameters, "publish.diagnostics_period": 0.5})
    node.start()
    ros.spin(node)
    camera = Camera(ros, depth=False)
    topic = "/camera/camera/aligned_depth_to_color/image_raw"

    def told() -> bool:
        camera.shoot()
        return bool(statuses) and f"(nothing on {topic}; check the topics" in statuses[-1].status[0].message

    wait_for(told, "the silent topic's name", pause=0.05)


def test_diagnostics_tell_what_happens(ros: Ros, toy_parameters: dict[str, Any]) -> None:
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    node = ros.node(HandPoseNode, parameters={**toy_parameters, "publish.diagnostics_period": 0.2})
    ros.spin(node)

    def last() -> tuple[str, dict[str, str]]:
        status = statuses[-1].status[0]
        return status.message, {item.key: item.value for item in status.values}

    wait_for(lambda: bool(statuses) and last()[0] == "inactive", "a report of the unconfigured node")
    node.start()
    wait_for(lambda: "check the topics" in last()[0], "a warning that nothing comes")
    camera = Camera(ros)
    camera.connect()
    fault = {"encoding": "yuv9"}
    wait_for(lambda: "dropped: invalid_input" in last()[1] or not camera.shoot(color=fault), "the drop", pause=0.1)
    wait_for(lambda: "processing p95 (ms)" in last()[1], "the timings")
    values = last()[1]
    assert values["model"].endswith("hand.onnx") and values["sync"] == "exact stamps"
    assert "onnxruntime" in values["model_engine"]
