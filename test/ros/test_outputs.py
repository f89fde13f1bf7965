"""What the node publishes of a scene, and its services, with a pipeline that needs no weights."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

import fake_pipeline
import toy_recordings
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from ros_camera import Camera
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hand_pose_ros.msg import HandArray, ObjectPoseArray
from hand_pose_ros.ros.node import HandPoseNode, StartError
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.sources.bag_storage import BagStorage
from hand_pose_ros.types import Scene

BOX = toy_recordings.scenes(2)[1].objects
SCENE = Scene(0, "", toy_recordings.scenes(1)[0].hands, BOX)
QUIET = {"publish.diagnostics_period": 60.0, "pipeline.mesh": False}


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[fake_pipeline.FakePipeline]:
    return fake_pipeline.installed(monkeypatch, [SCENE])


def started(ros: Ros, **parameters: Any) -> HandPoseNode:
    node: HandPoseNode = ros.node(HandPoseNode, parameters={**QUIET, **parameters})
    node.start()
    ros.spin(node)
    return node


def asked(ros: Ros, kind: Any, service: str, **fields: Any) -> Any:
    """The answer of a service."""
    caller = ros.node(Node, node_name="caller")
    ros.spin(caller)
    client = caller.create_client(kind, service)
    assert client.wait_for_service(10.0), f"no service {service}"
    future = client.call_async(kind.Request(**fields))
    wait_for(future.done, f"the answer of {service}")
    return future.result()


def test_objects_and_wrists_reach_their_topics(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    objects, frames = ros.listen(ObjectPoseArray, "/hand_pose/objects"), ros.listen(TFMessage, "/tf")
    markers = ros.listen(MarkerArray, "/hand_pose/markers")
    wrists = {side: ros.listen(PoseStamped, f"/hand_pose/{side.value}_wrist") for side in Side}
    started(ros)
    camera = Camera(ros)
    wait_for(
        lambda: bool(objects and frames and markers and all(wrists.values())) or not camera.shoot(),
        "results",
        pause=0.1,
    )
    (item,) = objects[-1].objects
    assert (item.name, objects[-1].header.frame_id) == (BOX[0].name, "camera_color_optical_frame")
    np.testing.assert_allclose([item.extent.x, item.extent.y, item.extent.z], BOX[0].extent, atol=1e-6)
    sent = {item.child_frame_id: item for item in frames[-1].transforms}
    assert sent.keys() == {"left_wrist", "right_wrist", "object_box_1"}
    assert sent["object_box_1"].transform.translation.z == pytest.approx(BOX[0].translation[2])
    for hand in SCENE.hands:
        message = wrists[hand.side][-1]
        place = message.pose.position
        np.testing.assert_allclose([place.x, place.y, place.z], hand.wrist.position, atol=1e-6)
        assert message.header.frame_id == "camera_color_optical_frame"
    shown = {marker.ns for marker in markers[-1].markers}
    assert {"objects", "object_axes", "object_labels", "left_std", "right_std"} <= shown


def test_two_cameras_do_not_get_in_each_others_way(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    """Two rigs: each node sees its own camera's images only, and topics and TF frames are apart."""
    frames = ros.listen(TFMessage, "/tf")
    cameras = {}
    for name in ("head", "chest"):
        base = f"/{name}/camera"
        topics = {"color": "color/image_raw", "depth": "aligned_depth_to_color/image_raw"}
        given = {f"topics.{role}": f"{base}/{topic}" for role, topic in topics.items()}
        given |= {"topics.camera_info": f"{base}/color/camera_info", "publish.tf_prefix": f"{name}_"}
        node = ros.node(HandPoseNode, namespace=name, parameters={**QUIET, **given})
        node.start()
        ros.spin(node)
        cameras[name] = Camera(ros, base=base, answers=f"/{name}/hand_pose/hands")
    focal = {"head": 60.0, "chest": 70.0}
    for name, camera in cameras.items():
        k = np.array([focal[name], 0, 31.5, 0, focal[name], 23.5, 0, 0, 1])
        wait_for(lambda c=camera, k=k: bool(c.answers) or not c.shoot(info={"k": k}), "hands", pause=0.1)  # type: ignore[misc]
    expected = {f"{name}_{frame}" for name in cameras for frame in ("left_wrist", "right_wrist", "object_box_1")}
    wait_for(lambda: {item.child_frame_id for m in frames for item in m.transforms} == expected, "frames of both")
    seen = [{frame.intrinsics.fx for frame in pipeline.frames} for pipeline in pipelines]
    assert seen == [{60.0}, {70.0}]


def test_colour_alone_is_enough_where_depth_is_switched_off(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline]
) -> None:
    """A webcam: no depth publisher exists."""
    node = started(ros, **{"topics.use_depth": False})
    Camera(ros, depth=False).connect()
    (pipeline,) = pipelines
    frame = pipeline.frames[-1]
    assert frame.depth is None and frame.color is not None and frame.frame_id == "camera_color_optical_frame"
    assert [topic for topic in node.get_topic_names_and_types() if "depth" in topic[0]] == []


def test_depth_that_stops_and_returns(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    """A model that needs no depth goes on without, says so, and takes it again when it is back."""
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    started(ros, **{"topics.depth_patience": 0.2, "publish.diagnostics_period": 0.4})
    camera = Camera(ros)
    camera.connect()
    (pipeline,) = pipelines
    assert pipeline.frames[-1].depth is not None
    for blind in (True, False):
        camera.blind = blind

        def seen(blind: bool = blind) -> bool:
            camera.shoot()
            said = bool(statuses) and "nothing comes on /camera/camera/aligned" in statuses[-1].status[0].message
            return (pipeline.frames[-1].depth is None) is said is blind

        wait_for(seen, f"frames, and a report of them, with blind {blind}", pause=0.05)


def test_a_model_that_needs_depth_waits_for_it(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_pipeline.FakePipeline, "needs_depth", True)
    node = started(ros, **{"topics.depth_patience": 0.1})
    camera = Camera(ros, depth=False)
    end = time.monotonic() + 0.5
    wait_for(lambda: camera.shoot() > 0 and time.monotonic() > end, "colour images alone", pause=0.05)
    assert pipelines[0].frames == [] and node.monitor.totals().frames_in == 0


@pytest.mark.parametrize(
    ("needs", "missing", "text"),
    [
        ("needs_depth", {"topics.use_depth": False}, "topics.use_depth: expected true"),
        ("needs_color", {"topics.use_color": False}, "topics.use_color: expected true"),
        ("", {"topics.use_depth": False, "topics.use_color": False}, "expected use_color or use_depth"),
    ],
)
def test_a_model_that_would_see_nothing_is_not_started(
    ros: Ros,
    pipelines: list[fake_pipeline.FakePipeline],
    monkeypatch: pytest.MonkeyPatch,
    needs: str,
    missing: dict[str, Any],
    text: str,
) -> None:
    if needs:
        monkeypatch.setattr(fake_pipeline.FakePipeline, needs, True)
    node = ros.node(HandPoseNode, parameters={**QUIET, **missing})
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    with pytest.raises(StartError):
        node.start()
    assert text in logged[0]


def test_reset_is_done_before_the_next_frame(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    started(ros)
    camera = Camera(ros)
    camera.connect()
    (pipeline,) = pipelines
    answer = asked(ros, Trigger, "/hand_pose/reset")
    assert answer.success and "forgotten" in answer.message
    count = len(pipeline.frames)
    wait_for(lambda: len(pipeline.frames) > count or not camera.shoot(), "another frame", pause=0.05)
    assert pipeline.resets == 1


def test_a_snapshot_holds_the_frame_the_result_and_the_settings(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], tmp_path: Path
) -> None:
    started(ros, **{"publish.snapshot_folder": str(tmp_path / "snapshots")})
    answer = asked(ros, Trigger, "/hand_pose/snapshot")
    assert not answer.success and "no frame" in answer.message
    Camera(ros).connect()
    answer = asked(ros, Trigger, "/hand_pose/snapshot")
    assert answer.success and Path(answer.message).parent == tmp_path / "snapshots"
    with BagReader(answer.message) as reader:
        (frame,) = reader
    last = pipelines[0].frames[-1]
    np.testing.assert_array_equal(frame.color, last.color)
    np.testing.assert_array_equal(frame.depth, last.depth)
    assert frame.intrinsics == last.intrinsics
    with BagStorage(Path(answer.message)) as storage:
        stored = {message.topic: message for message in storage.messages(["/hand_pose/hands", "/hand_pose/about"])}
    assert len(deserialize_message(bytes(stored["/hand_pose/hands"].data), HandArray).hands) == len(SCENE.hands)
    about = json.loads(deserialize_message(bytes(stored["/hand_pose/about"].data), String).data)
    assert about["parameters"]["pipeline.mesh"] is False and about["runs"]["model"] == "fake"


def test_a_snapshot_that_cannot_be_written_says_why(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    started(ros, **{"publish.snapshot_folder": str(tmp_path / "file" / "below")})
    Camera(ros).connect()
    answer = asked(ros, Trigger, "/hand_pose/snapshot")
    assert not answer.success and "snapshot_folder" in answer.message and "file" in answer.message


def test_enable_switches_the_subscriptions_and_keeps_the_models(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline]
) -> None:
    node = started(ros)
    camera = Camera(ros)
    topic = "/camera/camera/color/image_raw"
    for on, count, word in ((False, 0, "inactive"), (False, 0, "already"), (True, 1, "active"), (True, 1, "already")):
        answer = asked(ros, SetBool, "/hand_pose/enable", data=on)
        assert answer.success and word in answer.message
        wait_for(lambda count=count: node.count_subscribers(topic) == count, "the subscription")  # type: ignore[misc]
    camera.connect()
    assert len(pipelines) == 1, "loaded once"


def test_an_unconfigured_node_refuses_to_be_enabled(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    ros.spin(ros.node(HandPoseNode, parameters=QUIET))
    answer = asked(ros, SetBool, "/hand_pose/enable", data=True)
    assert not answer.success and "configure it first" in answer.message


@pytest.mark.parametrize(
    ("name", "value"), [("publish.detections", "always"), ("topics.hand_boxes", "/detector/detections")]
)
def test_what_needs_vision_msgs_names_the_package_where_it_is_missing(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The light environment has no vision_msgs; test/launch has it."""
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    node = ros.node(HandPoseNode, parameters={**QUIET, name: value})
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    for _ in range(2):  # and nothing is left behind that a second try would stumble on
        with pytest.raises(StartError):
            node.start()
        if name == "topics.hand_boxes":
            assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert len(logged) == 2
    for line in logged:
        assert name in line and "apt install ros-jazzy-vision-msgs" in line
    assert node.count_subscribers("/camera/camera/color/image_raw") == 0


def test_a_region_that_is_none_is_refused_with_the_reason(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline]
) -> None:
    node = started(ros)
    good, bad = node.set_parameters(
        [Parameter("pipeline.finder.roi", value="0.2 0.2 0.5 0.5"), Parameter("pipeline.finder.roi", value="left half")]
    )
    assert good.successful and not bad.successful
    assert "x, y, width, height" in bad.reason
    assert node.config.pipeline.finder.roi == "0.2 0.2 0.5 0.5"
