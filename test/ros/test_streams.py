"""Streams that go wrong, over real DDS: a camera that comes and goes, stamps that lie, images with nothing in them."""

from __future__ import annotations

import array
import time
from typing import Any

import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

import fake_pipeline
import toy_recordings
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_camera import HEIGHT, WIDTH, Camera, blank
from std_msgs.msg import Bool

from hand_pose_ros.msg import HandArray
from hand_pose_ros.ros.node import REPLACED, HandPoseNode
from hand_pose_ros.ros.outputs import LATCHED_QOS
from hand_pose_ros.types import Frame, Scene

HANDS = Scene(0, "", toy_recordings.scenes(1)[0].hands)
QUIET = {"publish.diagnostics_period": 60.0, "pipeline.mesh": False}
SECOND = 10**9
_SILENT = "nothing on /camera/camera/color/image_raw, /camera/camera/aligned_depth_to_color/image_raw"


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[fake_pipeline.FakePipeline]:
    return fake_pipeline.installed(monkeypatch, [HANDS])


def started(ros: Ros, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> tuple[HandPoseNode, list[str]]:
    """A node that runs, and what it complains of."""
    node: HandPoseNode = ros.node(HandPoseNode, parameters={**QUIET, **parameters})
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    node.start()
    ros.spin(node)
    return node, logged


def stamps(pipeline: fake_pipeline.FakePipeline) -> list[int]:
    return [frame.stamp_ns for frame in pipeline.frames]


def settled(node: HandPoseNode) -> None:
    """Wait until the node has done what there was to do."""

    def counts() -> tuple[int, int]:
        totals = node.monitor.totals()
        return totals.frames_out, sum(totals.drops.values()) + sum(node._inputs.drops.values())  # type: ignore[union-attr]

    last = (-1, -1)
    while last != counts():
        last = counts()
        time.sleep(0.3)


def test_a_camera_that_stops_and_returns(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is seen meanwhile, and it is said; the camera's return needs nobody's help."""
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    tracked = ros.listen(Bool, "/hand_pose/right_tracked", LATCHED_QOS)
    started(ros, monkeypatch, **{"publish.diagnostics_period": 0.3})
    for _ in range(2):
        camera = Camera(ros)
        camera.connect()
        wait_for(lambda: (bool(tracked) and tracked[-1].data) or not camera.shoot(), "right_tracked")  # noqa: B023
        camera.close()
        wait_for(lambda: not tracked[-1].data, "the end of right_tracked")
        wait_for(lambda: _SILENT in statuses[-1].status[0].message, "a warning")


def test_frames_that_overtake_each_other(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older frame after a newer one is counted and left out: results never go back in time."""
    node, logged = started(ros, monkeypatch)
    camera = Camera(ros)
    camera.connect()
    (pipeline,) = pipelines
    base = 1000 * SECOND
    for late in range(0, 200, 40):
        for shift in (20, 0, 10):  # milliseconds
            camera.shoot(stamp_ns=base + (late + shift) * 1_000_000)
            time.sleep(0.05)
    settled(node)
    seen = [stamp for stamp in stamps(pipeline) if stamp >= base]
    assert seen == sorted(set(seen)) and set(seen) <= {base + (late + 20) * 1_000_000 for late in range(0, 200, 40)}
    assert node._inputs is not None and node._inputs.drops["late"] > 0
    assert not logged


@pytest.mark.parametrize("rate", [15, 30, 60, 90])
def test_streams_of_different_rates(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    """Depth at three times the rate of colour, half a millisecond apart: each colour image gets the depth beside it."""
    node, logged = started(ros, monkeypatch, **{"sync.tolerance_ms": 1.0})
    camera = Camera(ros)
    wait_for(lambda: bool(camera.answers) or not camera.shoot(), "an answer", pause=0.1)
    (pipeline,) = pipelines
    base, period = 1000 * SECOND, SECOND // (3 * rate)
    for index in range(12):
        stamp, depth = base + index * period, np.full(WIDTH * HEIGHT, 500 + index, "<u2")
        image = {"data": array.array("B", depth.tobytes())}
        if index % 3 == 0:
            camera.blind = True
            camera.shoot(stamp_ns=stamp)
            camera.blind = False
        camera.shoot(stamp_ns=stamp + 500_000, depth_alone=True, **image)
        time.sleep(0.02)
    settled(node)
    seen = {frame.stamp_ns: frame for frame in pipeline.frames if frame.stamp_ns >= base}
    assert seen and not logged
    for stamp, frame in seen.items():
        index, rest = divmod(stamp - base, period)
        assert rest == 0 and index % 3 == 0 and frame.depth[0, 0] == pytest.approx((500 + index) / 1000)


def test_images_without_a_stamp(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, logged = started(ros, monkeypatch)
    camera = Camera(ros)
    wait_for(lambda: node.monitor.totals().drops["no_stamp"] > 4 or not camera.shoot(stamp_ns=0), "drops", pause=0.05)
    assert len(logged) <= 2 and all("stamp its images" in line for line in logged), "once per stream"
    assert not pipelines[0].frames
    camera.connect()


def test_a_stamp_far_ahead_does_not_silence_the_stream(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image an hour ahead: what comes after it is older, and taken nevertheless."""
    started(ros, monkeypatch)
    camera = Camera(ros)
    camera.connect()
    (pipeline,) = pipelines
    ahead = 3600 * SECOND
    wait_for(lambda: max(stamps(pipeline)) >= ahead or not camera.shoot(stamp_ns=ahead), "the frame ahead", pause=0.05)
    camera.connect()
    assert stamps(pipeline)[-1] < ahead


def test_stamps_of_a_clock_that_is_ahead_are_told(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera's machine is two seconds ahead of ours: latency is negative, and the remedy is named."""
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    started(ros, monkeypatch, **{"publish.diagnostics_period": 0.3})
    camera = Camera(ros)

    def told() -> bool:
        camera.shoot(stamp_ns=time.time_ns() + 2 * SECOND)
        return bool(statuses) and "ahead of this machine's clock" in statuses[-1].status[0].message

    wait_for(told, "the warning", pause=0.05)
    values = {item.key: item.value for item in statuses[-1].status[0].values}
    assert float(values["latency from stamp p50 (ms)"]) < -1000


def test_a_torn_message_is_counted(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that end in the header, in the fields and in the pixels: none of them ends the node."""
    node, logged = started(ros, monkeypatch)
    camera = Camera(ros)
    camera.connect()
    for keep, reason in ((6, "damaged"), (40, "invalid_input"), (500, "invalid_input")):
        before = node.monitor.totals().drops[reason]

        def dropped(keep: int = keep, reason: str = reason, before: int = before) -> bool:
            camera.torn(keep)
            return node.monitor.totals().drops[reason] > before

        wait_for(dropped, f"{keep} bytes", pause=0.05)
    assert logged and all("expected" in line for line in logged)
    camera.connect()


NOTHING = {
    "depth of NaN": {
        "encoding": "32FC1",
        "step": 4 * WIDTH,
        "data": array.array("B", np.full(WIDTH * HEIGHT, np.nan, "<f4").tobytes()),
    },
    "depth of zeros": {"data": blank(2)},
    "black colour": {"color": {"data": blank(3)}},
    "depth of infinity": {
        "encoding": "32FC1",
        "step": 4 * WIDTH,
        "data": array.array("B", np.full(WIDTH * HEIGHT, np.inf, "<f4").tobytes()),
    },
}


def test_images_with_nothing_in_them(ros: Ros, toy_parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pipeline on toy networks: no hand, no complaint, and the stream goes on."""
    node, logged = started(ros, monkeypatch, **toy_parameters)
    camera = Camera(ros)
    camera.connect()
    for fields in NOTHING.values():
        sent = camera.stamp + 1

        def answered(fields: dict[str, Any] = fields, sent: int = sent) -> bool:
            return camera.answers[-1].header.stamp.sec >= sent or not camera.shoot(**fields)

        wait_for(answered, "an answer", pause=0.05)
        assert camera.answers[-1].hands == []
    assert not logged and node.monitor.totals().drops["invalid_input"] == 0


def test_a_slow_listener_does_not_slow_the_node(
    ros: Ros, elsewhere: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets what it has time for, the newest; the node does not wait for it, nor keep anything for it."""
    heard: list[int] = []

    def slowly(message: HandArray) -> None:
        heard.append(message.header.stamp.sec)
        time.sleep(0.3)

    listener = elsewhere.node(Node, node_name="slow")
    listener.create_subscription(HandArray, "/hand_pose/hands", slowly, 1)
    elsewhere.spin(listener)
    node, _ = started(ros, monkeypatch)
    camera = Camera(ros)
    camera.connect()
    before = node.monitor.totals().frames_out
    wait_for(lambda: bool(heard) or not camera.shoot(), "the listener", pause=0.1)  # it hears no results from before it
    wait_for(lambda: node.monitor.totals().frames_out >= before + 40 or not camera.shoot(), "40 results", pause=0.01)
    assert len(heard) < node.monitor.totals().frames_out - 10
    assert heard == sorted(set(heard))


def test_parameters_that_change_while_frames_come(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change holds for frames after it, wrong ones change nothing, and no frame is lost over it."""
    node, logged = started(ros, monkeypatch)
    camera = Camera(ros)
    camera.connect()
    (pipeline,) = pipelines
    for index in range(20):
        value = round(0.05 + 0.01 * index, 2)
        good, bad = node.set_parameters(
            [
                Parameter("pipeline.finder.threshold", value=value),
                Parameter("pipeline.tracking.min_score", value=1.5 + index),
            ]
        )
        assert good.successful and not bad.successful
        camera.shoot()
        time.sleep(0.01)
    wait_for(lambda: pipeline.config.finder.threshold == value or not camera.shoot(), "the last value", pause=0.05)
    assert pipeline.config.tracking.min_score < 1.0
    settled(node)
    totals = node.monitor.totals()
    assert totals.frames_in == totals.frames_out + totals.drops[REPLACED] and not logged


def test_tolerance_and_reports_change_while_running(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Depth a millisecond late is paired as soon as that is allowed; a report comes as soon as it is asked for."""
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    node, _ = started(ros, monkeypatch)
    camera = Camera(ros)
    camera.connect()
    (pipeline,) = pipelines
    base = 1000 * SECOND

    def shoot() -> int:
        stamp_ns = base + camera.stamp * SECOND
        camera.blind = True
        camera.shoot(stamp_ns=stamp_ns)
        camera.blind = False
        return camera.shoot(stamp_ns=stamp_ns + 1_000_000, depth_alone=True)

    for _ in range(10):
        shoot()
    settled(node)
    assert max(stamps(pipeline)) < base
    given = {"sync.tolerance_ms": 2.0, "publish.diagnostics_period": 0.1}
    assert all(r.successful for r in node.set_parameters([Parameter(n, value=v) for n, v in given.items()]))
    wait_for(lambda: max(stamps(pipeline)) >= base or not shoot(), "pairs", pause=0.05)
    wait_for(lambda: len(statuses) >= 2, "reports")
    values = {item.key: item.value for item in statuses[-1].status[0].values}
    assert values["sync"] == "within 2 ms"


def test_overload_leaves_nothing_behind(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times as many frames as the worker can take: the newest are taken, and what waits stays bounded.

    `python -m benchmarks.overload` does so for two minutes, with memory and latency.
    """
    process = fake_pipeline.FakePipeline.process

    def slow(self: fake_pipeline.FakePipeline, frame: Frame) -> Scene:
        time.sleep(0.1)
        return process(self, frame)

    monkeypatch.setattr(fake_pipeline.FakePipeline, "process", slow)
    node, logged = started(ros, monkeypatch)
    camera = Camera(ros)
    wait_for(lambda: bool(camera.answers) or not camera.shoot(), "an answer", pause=0.1)
    most = 0
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        camera.shoot()
        most = max(most, node.waiting())
        time.sleep(0.02)
    settled(node)
    totals = node.monitor.totals()
    assert totals.drops[REPLACED] > 0 and most <= 2 * node.config.sync.capacity + 1
    assert totals.frames_in == totals.frames_out + totals.drops[REPLACED]
    seen = stamps(pipelines[0])
    assert seen == sorted(seen) and not logged
