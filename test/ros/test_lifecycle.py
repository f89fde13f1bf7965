"""Parameters and lifecycle of the node."""

from __future__ import annotations

from typing import Any

import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.options import ConfigError, flatten, options
from hand_pose_ros.ros.node import HandPoseNode, StartError
from hand_pose_ros.ros.parameters import descriptor

WRONG = [
    ({"pipeline.modle": "x"}, "unknown parameter.*pipeline.modle"),
    ({"pipeline.max_depth": 3}, r"pipeline.max_depth: expected float from 0.1 to 20 \(write 1.0, not 1\), got 3"),
    ({"pipeline.max_depth": 30.0}, "pipeline.max_depth: expected float from 0.1 to 20, got 30.0"),
    ({"pipeline.max_hands": 0}, "pipeline.max_hands"),
    ({"pipeline.engine": "gpu"}, r"pipeline.engine: expected one of auto, onnxruntime, .*torch, got 'gpu'"),
    ({"publish.tf": "yes"}, "publish.tf: expected bool, got 'yes'"),
]


@pytest.mark.parametrize(("parameters", "text"), WRONG)
def test_wrong_parameters_are_refused_by_name(ros: Ros, parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ros.node(HandPoseNode, parameters=parameters)


def test_every_option_is_a_described_parameter(ros: Ros) -> None:
    node = ros.node(HandPoseNode)
    assert node.config == NodeConfig()
    for item in options(NodeConfig):
        shown = node.describe_parameter(item.name)
        assert shown.description == item.help
        assert shown.read_only is not item.dynamic
        assert node.get_parameter(item.name).value == item.default
        if item.choices:
            assert all(str(choice) in shown.additional_constraints for choice in item.choices)
    assert flatten(node.config).keys() <= set(node._parameters)


def test_ranges_are_shown() -> None:
    shown = {item.name: descriptor(item) for item in options(NodeConfig)}
    depth = shown["pipeline.max_depth"].floating_point_range[0]
    assert (depth.from_value, depth.to_value) == (0.1, 20.0)
    hands = shown["pipeline.max_hands"].integer_range[0]
    assert (hands.from_value, hands.to_value, hands.step) == (1, 2, 1)


def test_dynamic_parameters_change_and_others_do_not(ros: Ros, toy_parameters: dict[str, Any]) -> None:
    node = ros.node(HandPoseNode, parameters=toy_parameters)
    node.start()
    results = node.set_parameters(
        [
            Parameter("pipeline.smoothing.enabled", value=True),
            Parameter("publish.tf_joints", value=True),
            Parameter("pipeline.max_depth", value=1.0),
            Parameter("pipeline.threads", value=1),
            Parameter("pipeline.tracking.min_score", value=2.0),
            Parameter("pipeline.min_depth", value=1.5),
        ]
    )
    assert [result.successful for result in results] == [True, True, True, False, False, False]
    assert "read-only" in results[3].reason and "min_score" in results[4].reason
    assert results[5].reason == "pipeline.min_depth: expected less than pipeline.max_depth, got 1.5 and 1"
    assert node.config.pipeline.smoothing.enabled and node.config.publish.tf_joints
    assert node.config.pipeline.max_depth == 1.0 and node.config.pipeline.min_depth == NodeConfig().pipeline.min_depth


def test_lifecycle_round_trip(ros: Ros, toy_parameters: dict[str, Any]) -> None:
    node = ros.node(HandPoseNode, parameters=toy_parameters)
    ros.spin(node)
    topic = "/camera/camera/color/image_raw"
    for _ in range(2):
        node.start()
        wait_for(lambda: node.count_subscribers(topic) == 1, "the subscription")
        assert node.count_publishers("/hand_pose/hands") == 1
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        wait_for(lambda: node.count_subscribers(topic) == 0, "the end of the subscription")
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        wait_for(lambda: node.count_publishers("/hand_pose/hands") == 0, "the end of the topic")
    node.start()
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"pipeline.model": "no_such_model"}, "no_such_model"),
        ({"topics.use_depth": False}, "topics.use_depth: expected true"),
    ],
)
def test_what_cannot_start_says_why_and_can_be_tried_again(
    ros: Ros,
    toy_parameters: dict[str, Any],
    parameters: dict[str, Any],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = ros.node(HandPoseNode, parameters={**toy_parameters, **parameters})
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    with pytest.raises(StartError):
        node.start()
    assert any(text in line for line in logged)


def test_target_frame_without_tf2_is_refused(ros: Ros, toy_parameters: dict[str, Any]) -> None:
    try:
        import tf2_ros  # noqa: F401
    except ImportError:
        node = ros.node(HandPoseNode, parameters={**toy_parameters, "publish.target_frame": "base_link"})
        logged: list[str] = []
        node.log_error = logged.append
        with pytest.raises(StartError):
            node.start()
        assert "tf2_ros" in logged[0] and "base_link" in logged[0]
