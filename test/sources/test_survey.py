"""From what was seen of a camera to what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.options import build
from hand_pose_ros.sources.survey import Level, StreamSeen, Survey, findings, rate_and_loss

PERIOD_NS = 33_333_333
STAMPS = tuple(1_700_000_000 * 10**9 + PERIOD_NS * index for index in range(60))
CONFIG = NodeConfig()


def stream(topic: str, msgtype: str = "sensor_msgs/msg/Image", **changes: Any) -> StreamSeen:
    good = StreamSeen(topic, msgtype, (msgtype,), 1, "reliable", STAMPS, (0.02,) * 60, (640, 480), "rgb8")
    return replace(good, **changes)


def survey(
    color: dict[str, Any] | None = None,
    depth: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    **more: Any,
) -> Survey:
    streams = {
        "camera_info": stream("/info", "sensor_msgs/msg/CameraInfo", **(info or {})),
        "color": stream("/color", **(color or {})),
        "depth": stream("/depth", about="16UC1", **(depth or {})),
    }
    return Survey(**{"seconds": 2.0, "middleware": "rmw_cyclonedds_cpp", "streams": streams, **more})


def shifted(milliseconds: float) -> tuple[int, ...]:
    return tuple(stamp + round(milliseconds * 1e6) for stamp in STAMPS)


def test_a_good_camera() -> None:
    found = findings(survey(), CONFIG)
    assert {item.level for item in found} == {Level.OK}
    said = {item.subject: item.text for item in found}
    assert said["color"] == "/color: 640x480 rgb8, 30.0 Hz, reliable"
    assert "100%" in said["pairing"] and "20 ms old" in said["clock"]


FAULTS = [
    pytest.param({"color": {"publishers": 0, "offered": (), "stamps_ns": (), "size": None}}, Level.PROBLEM, "color",
                 "nobody publishes /color", "topics.color; sensor_msgs/msg/Image there is: /webcam", id="no publisher"),
    pytest.param({"color": {"offered": ("sensor_msgs/msg/CompressedImage",)}}, Level.PROBLEM, "color",
                 "expected sensor_msgs/msg/Image", "color_transport", id="other type"),
    pytest.param({"depth": {"stamps_ns": (), "size": None}}, Level.PROBLEM, "depth", "nothing came on /depth",
                 "camera running", id="silent"),
    pytest.param({"depth": {"stamps_ns": (), "size": None}, "middleware": "rmw_fastrtps_cpp"}, Level.PROBLEM, "depth",
                 "nothing came on /depth", "fastdds_large_images.xml", id="silent on Fast DDS"),
    pytest.param({"color": {"stamps_ns": STAMPS[:20] + STAMPS[20::2]}}, Level.WARNING, "color", "lost", "lower rate",
                 id="loss"),
    pytest.param({"info": {"problem": "is camera_info calibrated?"}}, Level.PROBLEM, "camera_info", "calibrated", "",
                 id="uncalibrated"),
    pytest.param({"depth": {"size": (848, 480)}}, Level.PROBLEM, "depth", "848x480 beside colour of 640x480",
                 "align_depth", id="not aligned"),
    pytest.param({"info": {"size": (640, 360)}}, Level.PROBLEM, "camera_info", "640x360 beside colour of 640x480",
                 "camera_info of the colour image", id="another camera's info"),
    pytest.param({"depth": {"stamps_ns": shifted(4.0)}}, Level.PROBLEM, "pairing", "0% of the colour images",
                 "sync.tolerance_ms to 4.0", id="shifted stamps"),
    pytest.param({"depth": {"stamps_ns": shifted(16.6)}}, Level.PROBLEM, "pairing", "0%", "enable_sync",
                 id="out of step"),
    pytest.param({"color": {"delays_s": (3e6,) * 60}, "depth": {"delays_s": (3e6,) * 60}}, Level.WARNING, "clock",
                 "behind", "use_sim_time", id="recording"),
    pytest.param({"color": {"delays_s": (0.9,) * 60}, "depth": {"delays_s": (0.9,) * 60}}, Level.WARNING, "clock",
                 "900 ms old", "chrony", id="late"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "level", "subject", "text", "remedy"), FAULTS)
def test_each_fault_is_found_with_its_remedy(
    fault: dict[str, Any], level: Level, subject: str, text: str, remedy: str
) -> None:
    found = findings(survey(others={"/webcam": "sensor_msgs/msg/Image"}, **fault), CONFIG)
    (worst,) = [item for item in found if item.level is level and item.subject == subject]
    assert text in worst.text and remedy in worst.remedy
    others = {item.subject for item in found if item.level is not Level.OK} - {subject}
    # A stream that lacks half its images cannot be paired either.
    assert others <= {"pairing"}


def test_what_the_node_puts_right_is_no_fault() -> None:
    """Calibrated at another size; half the size; and depth of a camera of its own."""
    good = survey(info={"size": (1280, 960)}, depth={"size": (320, 240)})
    assert {item.level for item in findings(good, CONFIG)} == {Level.OK}
    beside = survey(depth={"size": (848, 480)})
    own = stream("/depth_info", "sensor_msgs/msg/CameraInfo", size=(848, 480), about="focal length 420 pixels")
    beside = replace(beside, streams={**beside.streams, "depth_camera_info": own})
    aligned_here = build(NodeConfig, {"topics.depth_camera_info": "/depth_info"})
    assert {item.level for item in findings(beside, aligned_here)} == {Level.OK}


def test_a_tolerance_pairs_what_lies_within() -> None:
    shift = survey(depth={"stamps_ns": shifted(4.0)})
    (pairing,) = [
        item for item in findings(shift, build(NodeConfig, {"sync.tolerance_ms": 5.0})) if item.subject == "pairing"
    ]
    assert pairing.level is Level.OK


@given(st.integers(2, 200), st.integers(5_000_000, 200_000_000), st.data())
def test_rate_and_loss(count: int, period: int, data: st.DataObject) -> None:
    """Images that are lost do not change the period as long as most neighbours are there."""
    lost = data.draw(st.sets(st.integers(1, max(1, count - 2)), max_size=count // 5))
    kept = [index for index in range(count) if index not in lost or index in (0, count - 1)]
    rate, loss = rate_and_loss([10**18 + period * index for index in kept])
    assert loss == pytest.approx(1 - len(kept) / count)
    assert rate == pytest.approx((len(kept) - 1) / ((count - 1) * period * 1e-9), rel=1e-6)


def test_single_images_have_no_rate() -> None:
    assert rate_and_loss([5]) == rate_and_loss([]) == (0.0, 0.0)
