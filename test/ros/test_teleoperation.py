"""What moves a robot: named poses, and whether each hand is seen. On loss nothing jumps, and it is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

import fake_pipeline
import toy_recordings
from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import TransitionCallbackReturn
from ros_camera import Camera
from sensor_msgs.msg import MultiDOFJointState
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from hand_pose_ros.ros.node import HandPoseNode
from hand_pose_ros.ros.outputs import LATCHED_QOS
from hand_pose_ros.ros.tracked import TrackedHands
from hand_pose_ros.skeleton import JOINT_NAMES, Side
from hand_pose_ros.types import HandEstimate, Scene

LEFT, RIGHT = sorted(toy_recordings.scenes(1)[0].hands, key=lambda hand: hand.side.value)


def valid(hand: HandEstimate, *unsure: int) -> HandEstimate:
    return dataclasses.replace(hand, joint_valid=np.array([index not in unsure for index in range(21)]))


# Both hands; the right one with two joints that are not to be relied on; none; the right one again.
SCENES = [
    Scene(0, "", (valid(RIGHT), valid(LEFT))),
    Scene(0, "", (valid(RIGHT, 4, 8),)),
    Scene(0, ""),
    Scene(0, "", (valid(RIGHT),)),
]


class Heard:
    """What a teleoperation program gets, and what it makes of it by keeping the last pose of each name."""

    def __init__(self, ros: Ros) -> None:
        self.poses: list[MultiDOFJointState] = ros.listen(MultiDOFJointState, "/hand_pose/named_poses")
        self.wrists = {side: ros.listen(PoseStamped, f"/hand_pose/{side.value}_wrist") for side in Side}
        self.tracked = {side: ros.listen(Bool, f"/hand_pose/{side.value}_tracked", LATCHED_QOS) for side in Side}
        self.frames: list[TFMessage] = ros.listen(TFMessage, "/tf")

    def present(self) -> set[Side]:
        return {side for side in Side if self.states(side)[-1]}

    def states(self, side: Side) -> list[bool]:
        return [message.data for message in self.tracked[side]]


def test_on_loss_nothing_jumps_and_it_is_said(ros: Ros, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = {"now": 0}
    fake_pipeline.installed(monkeypatch, SCENES[:1])

    def process(self: fake_pipeline.FakePipeline, frame: Any) -> Scene:
        return dataclasses.replace(SCENES[scene["now"]], stamp_ns=frame.stamp_ns, frame_id=frame.frame_id)

    monkeypatch.setattr(fake_pipeline.FakePipeline, "process", process)
    heard = Heard(ros)
    node = ros.node(HandPoseNode, parameters={"publish.diagnostics_period": 60.0, "pipeline.tracking.max_gap": 10.0})
    node.start()
    ros.spin(node)
    camera = Camera(ros)
    wait_for(lambda: bool(heard.poses) or not camera.shoot(), "poses", pause=0.1)
    kept: dict[str, tuple[float, ...]] = {}
    for index, present in enumerate(({Side.LEFT, Side.RIGHT}, {Side.RIGHT}, set(), {Side.RIGHT})):
        scene["now"] = index
        names = list(expected_names(SCENES[index]))
        wait_for(lambda names=names: heard.poses[-1].joint_names == names or not camera.shoot(), "them", pause=0.05)  # type: ignore[misc]
        wait_for(lambda present=present: heard.present() == present, f"{present}")  # type: ignore[misc]
        message = heard.poses[-1]
        assert message.header.frame_id == "camera_color_optical_frame" and not message.twist and not message.wrench
        for name, transform in zip(message.joint_names, message.transforms, strict=True):
            place = (transform.translation.x, transform.translation.y, transform.translation.z)
            assert np.linalg.norm(np.subtract(place, kept.get(name, place))) < 1e-6, f"{name} jumped"
            kept[name] = place
    assert len(kept) == 42
    np.testing.assert_allclose(kept["right_index_tip"], RIGHT.joints[8], atol=1e-6)
    np.testing.assert_allclose(kept["left_wrist"], LEFT.joints[0], atol=1e-6)
    turned = heard.poses[-1].transforms[0].rotation
    np.testing.assert_allclose([turned.x, turned.y, turned.z, turned.w], RIGHT.wrist.quaternion, atol=1e-5)
    assert heard.states(Side.LEFT) == [False, True, False] and heard.states(Side.RIGHT) == [False, True, False, True]
    for hand in (LEFT, RIGHT):
        for given in heard.wrists[hand.side]:
            place = given.pose.position
            np.testing.assert_allclose([place.x, place.y, place.z], hand.wrist.position, atol=1e-6)
    assert {item.child_frame_id for m in heard.frames for item in m.transforms} == {"left_wrist", "right_wrist"}
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    wait_for(lambda: not heard.states(Side.RIGHT)[-1], "the end of a node that rests")


def expected_names(scene: Scene) -> Iterator[str]:
    """Left before right, in the order of the joints, without those that are not valid."""
    for hand in sorted(scene.hands, key=lambda hand: hand.side.value):
        for name, is_valid in zip(JOINT_NAMES, hand.joint_valid, strict=True):
            if is_valid:
                yield f"{hand.side.value}_{name}"


def test_results_that_cease_mean_that_nothing_is_seen() -> None:
    told: list[tuple[Side, bool]] = []
    tracked = TrackedHands(lambda side, on: told.append((side, on)), patience_s=0.5)
    tracked.nothing()
    assert told == [(Side.LEFT, False), (Side.RIGHT, False)]
    told.clear()
    for now in (10.0, 10.1, 10.2):
        tracked.seen({Side.RIGHT}, now)
        tracked.look(now + 0.09)
    assert told == [(Side.RIGHT, True)]
    tracked.look(10.6)
    assert told[1:] == []
    tracked.look(10.8)
    tracked.look(11.0)
    assert told[1:] == [(Side.RIGHT, False)]
    tracked.seen({Side.RIGHT}, 20.0)  # a slow engine: a result per second
    tracked.seen({Side.RIGHT}, 21.0)
    tracked.look(22.5)
    assert told[-1] == (Side.RIGHT, True)
    tracked.look(23.5)
    assert told[-1] == (Side.RIGHT, False)
