"""A recording played over real DDS into the live node, compared with the pipeline on the same recording."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.engines.zoo import known_models
from hand_pose_ros.msg import HandArray, HandMeshArray, HandMeshTopology
from hand_pose_ros.options import build
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.ros.inputs import BEST_EFFORT, RELIABLE
from hand_pose_ros.ros.node import REPLACED, HandPoseNode
from hand_pose_ros.ros.outputs import LATCHED_QOS
from hand_pose_ros.ros.player import BagPlayer
from hand_pose_ros.ros.recorded_topics import topic_parameters
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.sources.scene_messages import scene_from_messages
from hand_pose_ros.types import Frame, Scene

SAME = 1e-4  # metres
POSE_MODELS = ("kpt_fusion_lite", "keypoint_transformer_lite", "handformer2t_lite")


def play(ros: Ros, node: HandPoseNode, bag: Path, rate: float = 1.0) -> None:
    """Play a recording into a started node and wait until the node has nothing more to do."""
    ros.spin(node)
    player = ros.node(BagPlayer, parameters={"bag": str(bag), "rate": rate, "clock": False})
    player.play()
    assert player.sent > 0
    # Each frame that came in is accounted for; the last one may still be in the worker's hands.
    time.sleep(0.3)
    wait_for(lambda: accounted(node), "the worker to finish")


def accounted(node: HandPoseNode) -> bool:
    totals = node.monitor.totals()
    finished = totals.frames_out + totals.drops[REPLACED] + totals.drops["invalid_input"]
    return bool(totals.frames_in == finished)


def offline(bag: Path, parameters: dict[str, Any], stamps: set[int]) -> dict[int, Scene]:
    """What the pipeline says of the frames with these stamps."""
    pipeline = Pipeline(build(NodeConfig, parameters).pipeline)
    with BagReader(bag) as reader:
        return {frame.stamp_ns: pipeline.process(frame) for frame in reader if frame.stamp_ns in stamps}


def assert_same(live: Scene, expected: Scene) -> None:
    assert live.frame_id == expected.frame_id
    assert [(hand.side, hand.track_id, hand.state) for hand in live.hands] == [
        (hand.side, hand.track_id, hand.state) for hand in expected.hands
    ]
    for one, other in zip(live.hands, expected.hands, strict=True):
        np.testing.assert_allclose(one.joints, other.joints, atol=SAME)
        np.testing.assert_allclose(one.joint_std, other.joint_std, atol=SAME)
        np.testing.assert_allclose(one.wrist.position, other.wrist.position, atol=SAME)
        assert (one.vertices is None) == (other.vertices is None)
        if other.vertices is not None:
            np.testing.assert_allclose(one.vertices, other.vertices, atol=SAME)


def check_live_equals_offline(ros: Ros, bag: Path, parameters: dict[str, Any], least: int, rate: float = 1.0) -> None:
    """At least so many hands: a busy machine takes only a part of the frames."""
    parameters = {**parameters, **topic_parameters(bag)}
    hands, meshes = ros.listen(HandArray, "/hand_pose/hands"), ros.listen(HandMeshArray, "/hand_pose/meshes")
    topology = ros.listen(HandMeshTopology, "/hand_pose/mesh_topology", LATCHED_QOS)
    node = ros.node(HandPoseNode, parameters=parameters)
    node.start()
    play(ros, node, bag, rate)
    sent = node.monitor.totals().frames_out
    wait_for(lambda: len(hands) == sent and len(meshes) == sent, f"{sent} results")
    live = {
        scene.stamp_ns: scene for scene in map(scene_from_messages, hands, meshes)
    }  # both lists are in the order of publishing
    assert len(live) == sent, "two results with the same stamp"
    assert sum(bool(scene.hands) for scene in live.values()) >= least
    assert topology[0].num_vertices > 0 and len(topology[0].left_faces) == len(topology[0].right_faces) > 0
    expected = offline(bag, parameters, set(live))
    assert expected.keys() == live.keys()
    for stamp, scene in live.items():
        assert_same(scene, expected[stamp])


def test_toy_recording_gives_the_offline_result(ros: Ros, toy_bag: Path, toy_parameters: dict[str, Any]) -> None:
    check_live_equals_offline(ros, toy_bag, toy_parameters, least=3, rate=0.5)


def test_toy_recording_gives_the_offline_result_of_two_hands(
    ros: Ros, toy_bag: Path, toy_two_hands: dict[str, Any]
) -> None:
    check_live_equals_offline(ros, toy_bag, toy_two_hands, least=3, rate=0.5)


@pytest.mark.parametrize("model", [name for name in POSE_MODELS if name in known_models()])
def test_sample_recording_gives_the_offline_result(ros: Ros, sample_bag: Path, model: str) -> None:
    """Every shipped model."""
    parameters = {"pipeline.model": model, "publish.diagnostics_period": 60.0}
    check_live_equals_offline(ros, sample_bag, parameters, least=3)


def test_too_fast_input_is_dropped_and_counted(
    ros: Ros, toy_bag: Path, toy_parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input at 150 Hz, a worker that takes 40 ms: most frames are replaced by newer ones, nothing piles up."""
    process = Pipeline.process

    def slow(self: Pipeline, frame: Frame) -> Scene:
        time.sleep(0.04)
        return process(self, frame)

    monkeypatch.setattr(Pipeline, "process", slow)
    parameters = {**toy_parameters, **topic_parameters(toy_bag)}
    hands = ros.listen(HandArray, "/hand_pose/hands")
    node = ros.node(HandPoseNode, parameters=parameters)
    node.start()
    play(ros, node, toy_bag, rate=5.0)
    totals = node.monitor.totals()
    assert totals.drops[REPLACED] > 0
    assert 0 < totals.frames_out < totals.frames_in
    # No queue: what can wait is bounded by the subscription, the pairer and one slot.
    assert node.waiting() <= 2 * node.config.sync.capacity + 1
    assert max(BEST_EFFORT.depth, RELIABLE.depth) <= 5
    wait_for(lambda: len(hands) == totals.frames_out, "all results")
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in hands]
    assert stamps == sorted(stamps), "an old frame was given after a newer one"


def test_a_recording_that_loops_goes_on(ros: Ros, toy_bag: Path, toy_parameters: dict[str, Any]) -> None:
    """Stamps that jump back must not silence the node (message_filters' Python would be silent for ever)."""
    node = ros.node(HandPoseNode, parameters={**toy_parameters, **topic_parameters(toy_bag)})
    node.start()
    play(ros, node, toy_bag, rate=2.0)
    once = node.monitor.totals().frames_out
    again = ros.node(BagPlayer, node_name="again", parameters={"bag": str(toy_bag), "rate": 2.0, "clock": False})
    again.play()
    wait_for(lambda: node.monitor.totals().frames_out >= once + 3, "results of the second round")
