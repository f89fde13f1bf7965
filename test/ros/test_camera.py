"""`camera.source: pyrealsense2`: synthetic frames through the RealSense SDK into the live node, and out over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from needs import needs, needs_ros
from ros_session import Ros, wait_for

needs_ros()
needs("pyrealsense2", remedy="pip install pyrealsense2; apt install libusb-1.0-0")

import toy_scenes
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image
from software_camera import SoftwareCamera
from tf2_msgs.msg import TFMessage

from hand_pose_ros.msg import HandArray
from hand_pose_ros.ros.node import HandPoseNode, StartError
from hand_pose_ros.ros.outputs import LATCHED_QOS
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.image_messages import color_of, depth_of, intrinsics_of
from hand_pose_ros.sources.scene_messages import stamp_of

FRAME = toy_scenes.toy_frame(toy_scenes.Blob(Side.RIGHT, (-0.05, 0.02, 0.5)))


def plug_in(**more: Any) -> SoftwareCamera:
    camera = SoftwareCamera(toy_scenes.CAMERA, **more)
    assert FRAME.color is not None and FRAME.depth is not None
    camera.play(FRAME.color, np.round(FRAME.depth * 1000).astype(np.uint16))
    return camera


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SoftwareCamera]]:
    """Cameras put into this list are plugged in."""
    cameras: list[SoftwareCamera] = []
    monkeypatch.setattr(
        "hand_pose_ros.sources.realsense.connected", lambda: [item for one in cameras for item in one.devices()]
    )
    monkeypatch.setattr("hand_pose_ros.sources.realsense.SILENCE_S", 0.4)
    monkeypatch.setattr("hand_pose_ros.sources.realsense.RETRY_S", 0.1)
    yield cameras
    for camera in cameras:
        camera.stop()


def started(ros: Ros, toy_parameters: dict[str, Any], **parameters: Any) -> HandPoseNode:
    given = {"camera.source": "pyrealsense2", **{name.replace("__", "."): value for name, value in parameters.items()}}
    node: HandPoseNode = ros.node(HandPoseNode, parameters={**toy_parameters, **given})
    ros.spin(node)
    node.start()
    return node


def test_hands_and_on_request_the_images(ros: Ros, port: list[SoftwareCamera], toy_parameters: dict[str, Any]) -> None:
    port.append(plug_in(baseline=0.015))
    hands = ros.listen(HandArray, "/hand_pose/hands")
    node = started(ros, toy_parameters, publish__diagnostics_period=0.2)
    wait_for(lambda: len([message for message in hands if message.hands]) > 3, "hands")
    assert hands[-1].header.frame_id == "camera_color_optical_frame"
    assert hands[-1].hands[0].wrist.position.z == pytest.approx(0.5, abs=0.1)
    # Nobody has asked for images: none was sent. Whoever asks gets what realsense-ros would send.
    base = "/camera/camera"
    colors = ros.listen(Image, f"{base}/color/image_raw")
    depths = ros.listen(Image, f"{base}/aligned_depth_to_color/image_raw")
    infos = ros.listen(CameraInfo, f"{base}/color/camera_info")
    depth_infos = ros.listen(CameraInfo, f"{base}/aligned_depth_to_color/camera_info")
    streams = (hands, colors, depths, infos, depth_infos)
    wait_for(
        lambda: bool(set.intersection(*({stamp_of(message.header) for message in items} for items in streams))),
        "a result, images and camera_info of one stamp",
    )
    assert colors[0].encoding == "rgb8" and (color_of(colors[0]) == FRAME.color).all()
    assert depths[0].encoding == "16UC1" and depth_of(depths[0]).max() == pytest.approx(0.5)
    assert intrinsics_of(infos[0]) == toy_scenes.CAMERA
    (link,) = ros_static(ros)
    assert (link.header.frame_id, link.child_frame_id) == ("camera_link", "camera_color_optical_frame")
    moved = link.transform.translation  # the colour camera is 15 mm to the depth camera's left: y of its link
    assert (moved.x, moved.y, moved.z) == pytest.approx((0.0, 0.015, 0.0), abs=1e-6)
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    wait_for(lambda: bool(statuses) and statuses[-1].status[0].message == "running", "diagnostics")
    told = {item.key: item.value for item in statuses[-1].status[0].values}
    assert told["camera"].startswith("Synthetic RealSense 0001, USB 3.2: color and depth, 640x480")
    assert float(told["latency from stamp p50 (ms)"]) > 0
    node.trigger_deactivate()
    wait_for(lambda: node.count_publishers(f"{base}/color/image_raw") == 0, "the end of the images")
    node.trigger_activate()
    before = len(hands)
    wait_for(lambda: len(hands) > before + 2, "hands after the node was switched off and on")


def ros_static(ros: Ros) -> Any:
    messages = ros.listen(TFMessage, "/tf_static", LATCHED_QOS)
    wait_for(lambda: bool(messages), "the camera's frames")
    return messages[0].transforms


def test_unplugged_and_back(
    ros: Ros, port: list[SoftwareCamera], toy_parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node waits for a camera that is not there yet, says that it has gone, and goes on when it is back."""
    hands = ros.listen(HandArray, "/hand_pose/hands")
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    node = started(ros, toy_parameters, publish__diagnostics_period=0.2)

    def told() -> tuple[str, str]:
        status = statuses[-1].status[0]
        return status.message, {item.key: item.value for item in status.values}.get("camera", "")

    silent = "nothing on RealSense (pyrealsense2)"
    wait_for(lambda: bool(statuses) and silent in told()[0] and told()[1] == "not connected", "the warning")
    port.append(plug_in(serial="1"))
    wait_for(lambda: len(hands) > 2, "hands of the camera that came late")
    port[0].unplug()
    wait_for(lambda: silent in told()[0] and told()[1] == "not connected", "the warning that it has gone")
    seen = len(hands)
    port.append(plug_in(serial="2"))
    wait_for(lambda: len(hands) > seen + 2, "hands of the camera that came back")
    wait_for(lambda: told()[1].startswith("Synthetic RealSense 2"), "its name")
    assert node.failure is None


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"camera__width": 1920}, "offers 640x480 at 30"), ({"use_sim_time": True}, "expected topics with use_sim_time")],
    ids=["profile", "simulated time"],
)
def test_what_waiting_does_not_mend_is_said_at_the_start(
    ros: Ros,
    port: list[SoftwareCamera],
    toy_parameters: dict[str, Any],
    parameters: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port.append(plug_in())
    logged: list[str] = []
    monkeypatch.setattr(HandPoseNode, "log_error", lambda self, text: logged.append(text))
    with pytest.raises(StartError, match="activate failed"):
        started(ros, toy_parameters, **parameters)
    assert words in logged[0]


def test_without_the_wheel_the_start_fails_and_says_how_to_install_it(
    ros: Ros, toy_parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyrealsense2", None)
    logged: list[str] = []
    monkeypatch.setattr(HandPoseNode, "log_error", lambda self, text: logged.append(text))
    with pytest.raises(StartError):
        started(ros, toy_parameters)
    assert "pip install pyrealsense2" in logged[0] and "source:=topics" in logged[0]
