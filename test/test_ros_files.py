"""Files that ROS reads, checked without ROS."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

from hand_pose_ros import __version__
from hand_pose_ros.config import NodeConfig, TopicConfig
from hand_pose_ros.options import build, options, replace, unnest

ROOT = Path(__file__).resolve().parents[1]
PARAMETER_FILES = sorted((ROOT / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.name)
def test_parameter_files_hold_known_parameters(path: Path) -> None:
    values = unnest(yaml.safe_load(path.read_text())["/**"]["ros__parameters"])
    build(NodeConfig, values)
    types = {item.name: item.type for item in options(NodeConfig)}
    # rclpy does not take 1 for 1.0.
    assert all(type(value) is types[name] for name, value in values.items())


MODELS = {
    "kpt_fusion": "kpt_fusion_lite",
    "keypoint_transformer": "keypoint_transformer_lite",
    "handformer2t": "handformer2t_lite",
}


@pytest.mark.parametrize("name", MODELS)
def test_parameter_files_are_the_defaults_and_differ_in_the_model(name: str) -> None:
    """What a file says is what holds without it, so that no default stands in two places with two values."""
    values = unnest(yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())["/**"]["ros__parameters"])
    assert build(NodeConfig, values) == replace(NodeConfig(), {"pipeline.model": MODELS[name]})


def test_every_model_has_a_launch_file_and_a_parameter_file() -> None:
    launches = {path.name.removesuffix(".launch.py") for path in (ROOT / "launch").glob("*.launch.py")}
    assert launches - {"replay"} == MODELS.keys() == {path.stem for path in PARAMETER_FILES}
    for name in MODELS:
        assert f'model_launch("{name}.yaml")' in (ROOT / "launch" / f"{name}.launch.py").read_text()


def test_package_manifest_agrees_with_the_code() -> None:
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert manifest.findtext("version") == __version__
    named = {item.text for tag in ("depend", "exec_depend", "build_depend") for item in manifest.iter(tag)}
    needed = set(re.findall(r"find_package\((\w+_msgs) ", (ROOT / "CMakeLists.txt").read_text()))
    for path in (ROOT / "hand_pose_ros" / "ros").glob("*.py"):
        needed |= set(
            re.findall(
                r"^\s*(?:from|import) (rclpy|launch\w*|\w+_msgs|std_srvs|\w+_interfaces|tf2_ros|ament_index_python)",
                path.read_text(),
                re.M,
            )
        )
    needed = {"tf2_ros_py" if name == "tf2_ros" else name for name in needed}
    assert needed and needed <= named


def rviz_displays() -> list[dict[str, Any]]:
    display = yaml.safe_load((ROOT / "rviz" / "hands.rviz").read_text())
    displays: list[dict[str, Any]] = display["Visualization Manager"]["Displays"]
    return displays


def test_rviz_shows_topics_of_the_node() -> None:
    displays = rviz_displays()
    topics = {item["Topic"]["Value"] for item in displays if "Topic" in item}
    outputs = (ROOT / "hand_pose_ros" / "ros" / "outputs.py").read_text()
    assert topics == {
        topic.replace("~", "/hand_pose") for topic in re.findall(r'"(~/(?:\w*markers|overlay|inside))"', outputs)
    }
    # Images cost a robot's network: those of the camera are only asked for on a click.
    (cloud,) = (item for item in displays if item["Class"].endswith("/DepthCloud"))
    names = TopicConfig()
    assert (cloud["Color Image Topic"], cloud["Depth Map Topic"]) == (names.color, names.depth)
    assert not cloud["Enabled"]


def test_rviz_asks_for_what_the_node_offers() -> None:
    """A display that asks for more than is offered (transient local, say) stays empty without a word."""
    for item in rviz_displays():
        topic = item.get("Topic", {})
        assert topic.get("Reliability Policy", "Reliable") in ("Reliable", "Best Effort")
        assert topic.get("Durability Policy", "Volatile") == "Volatile"


def test_every_message_field_is_commented() -> None:
    """A field stands below a comment, or shares one with the field above it."""
    for path in sorted((ROOT / "msg").glob("*.msg")):
        commented = False
        for line in path.read_text().splitlines():
            commented = line.startswith("#") or (commented and bool(line.strip()))
            assert commented or not line.strip() or line.strip() in _SELF_EXPLAINING, f"{path.name}: {line}"


_SELF_EXPLAINING: Any = ("std_msgs/Header header", "Hand[] hands", "HandMesh[] meshes", "ObjectPose[] objects")
