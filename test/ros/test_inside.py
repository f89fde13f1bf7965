"""`~/inside`: what a Keypoint Transformer looks at, live, over real DDS."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import fake_pipeline
import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.msg import HandArray
from hand_pose_ros.options import build
from hand_pose_ros.pipeline.inside import InsideView, parse_joint
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.ros.node import HandPoseNode
from hand_pose_ros.ros.player import BagPlayer
from hand_pose_ros.ros.recorded_topics import topic_parameters
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.types import Scene
from hand_pose_ros.visualization.inside import Inside, draw_inside


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Inside]:
    """What every node looks at."""
    seen: list[Inside] = []
    look = InsideView.look

    def noted(self: InsideView, *arguments: Any) -> Inside:
        seen.append(look(self, *arguments))
        return seen[-1]

    monkeypatch.setattr(InsideView, "look", noted)
    return seen


def started(ros: Ros, bag: Path, parameters: dict[str, Any]) -> HandPoseNode:
    node: HandPoseNode = ros.node(HandPoseNode, parameters={**parameters, **topic_parameters(bag)})
    node.start()
    ros.spin(node)
    return node


def show(ros: Ros, node: HandPoseNode, bag: Path) -> None:
    """Play the recording once; a busy machine takes only a part of the frames."""
    player = ros.node(BagPlayer, parameters={"bag": str(bag), "rate": 0.7, "clock": False})
    before = node.monitor.totals().frames_out
    player.play()
    wait_for(lambda: node.monitor.totals().frames_out > before, "frames")
    time.sleep(0.3)


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def pixels(message: Any) -> np.ndarray:
    return np.frombuffer(bytes(message.data), dtype=np.uint8).reshape(message.height, message.width, 3)


def offline(bag: Path, parameters: dict[str, Any], stamps: set[int], joint: str) -> np.ndarray:
    """The picture of the last of the frames with these stamps, of a pipeline that sees no others."""
    pipeline = Pipeline(build(NodeConfig, parameters).pipeline)
    assert pipeline.inside is not None
    with BagReader(bag) as reader:
        for frame in reader:
            if frame.stamp_ns not in stamps:
                continue
            scene = pipeline.process(frame)
            if frame.stamp_ns == max(stamps):
                assert scene.hands
                return draw_inside(pipeline.inside.look(frame, scene.hands, *parse_joint(joint)))
    raise AssertionError(f"no frame of {stamps}")


def test_the_picture_is_the_offline_one_and_the_joint_may_change(
    ros: Ros, toy_bag: Path, toy_keypoints: dict[str, Any]
) -> None:
    pictures, hands = ros.listen(Image, "/hand_pose/inside"), ros.listen(HandArray, "/hand_pose/hands")
    node = started(ros, toy_bag, toy_keypoints)
    for joint in ("right_index_tip", "right_thumb_tip"):
        del pictures[:], hands[:]
        (result,) = node.set_parameters([Parameter("publish.inside", value=joint)])
        assert result.successful
        show(ros, node, toy_bag)
        wait_for(lambda: bool(pictures and hands) and stamp_of(pictures[-1]) == stamp_of(hands[-1]), "pictures")
        last = pictures[-1]
        assert (last.width, last.height, last.encoding, last.header.frame_id) == (1024, 512, "rgb8", "camera")
        stamps = {stamp_of(message) for message in hands}
        expected = offline(toy_bag, toy_keypoints, stamps, joint)
        np.testing.assert_array_equal(pixels(last), expected)
        assert (expected != offline(toy_bag, toy_keypoints, stamps, "right_middle_tip")).any()
    (result,) = node.set_parameters([Parameter("publish.inside", value="right_toe")])
    assert not result.successful and "right_toe" in result.reason


def test_nobody_looks_while_nobody_listens(
    ros: Ros, toy_bag: Path, toy_keypoints: dict[str, Any], looks: list[Inside]
) -> None:
    node = started(ros, toy_bag, toy_keypoints)
    show(ros, node, toy_bag)
    assert node.monitor.totals().frames_out > 0 and looks == []
    assert "/hand_pose/inside" in [name for name, _ in node.get_topic_names_and_types()]


def test_other_models_have_no_such_topic(ros: Ros, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pipeline.installed(monkeypatch, [Scene(0, "")])
    node = ros.node(HandPoseNode, parameters={"publish.diagnostics_period": 60.0})
    node.start()
    ros.spin(node)
    assert "/hand_pose/inside" not in [name for name, _ in node.get_topic_names_and_types()]


def test_a_joint_that_nothing_asks_for_is_said_once(
    ros: Ros, toy_bag: Path, toy_keypoints: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """The node lives on: in 3D the wrist has no query of its own."""
    monkeypatch.setattr("hand_pose_ros.pipeline.inside._PER_HAND", {"2p5d": 20})
    pictures: list[Any] = ros.listen(Image, "/hand_pose/inside")
    node = started(ros, toy_bag, {**toy_keypoints, "publish.inside": "right_wrist"})
    show(ros, node, toy_bag)
    assert node.failure is None and not pictures
    told = capfd.readouterr()
    assert (told.out + told.err).count("wrist has no query") == 1
