"""The doctor's look at a camera over real DDS."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from needs import needs_ros
from ros_session import Ros

needs_ros()

from ros_camera import Camera

from hand_pose_ros.config import TopicConfig
from hand_pose_ros.ros.survey import survey


def seen(ros: Ros, topics: TopicConfig, **fault: Any) -> Any:
    """A survey while a camera publishes at about 30 Hz."""
    camera = Camera(ros, depth=fault.pop("depth", True))
    ended = threading.Event()

    def publish() -> None:
        while not ended.is_set():
            camera.shoot(**fault)
            time.sleep(1 / 30)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        return survey(topics, 0.6)
    finally:
        ended.set()
        thread.join()


def test_a_camera_is_seen(ros: Ros) -> None:
    found = seen(ros, TopicConfig())
    assert found.middleware == "rmw_fastrtps_cpp"
    assert found.streams.keys() == {"color", "depth", "camera_info"}
    for stream in found.streams.values():
        assert stream.publishers == 1 and stream.offered == (stream.msgtype,) and len(stream.stamps_ns) >= 2
        assert stream.size == (64, 48) and not stream.problem and stream.reliability == "reliable"
    assert set(found.streams["color"].stamps_ns) & set(found.streams["depth"].stamps_ns)
    assert found.streams["depth"].about == "16UC1, 0% with a reading"


def test_what_is_missing_or_broken_is_told(ros: Ros) -> None:
    found = seen(ros, TopicConfig(color="/nowhere"), encoding="rgb8")
    nowhere, depth = found.streams["color"], found.streams["depth"]
    assert nowhere.publishers == 0 and nowhere.stamps_ns == () and nowhere.size is None
    assert "rgb8" in depth.problem
    assert found.others["/camera/camera/color/image_raw"] == "sensor_msgs/msg/Image" and "/nowhere" not in found.others


def test_neither_image_is_refused() -> None:
    with pytest.raises(ValueError, match="use_color or use_depth"):
        survey(TopicConfig(use_color=False, use_depth=False), 0.1)
