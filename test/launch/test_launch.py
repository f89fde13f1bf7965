"""The launch files, as a user starts them: real launch, tf2 and both middlewares, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from needs import needs

needs(
    "launch_ros",
    "tf2_ros",
    "message_filters",
    "hand_pose_ros.msg",
    remedy="python3 scripts/setup_ros_jazzy.py VENV && . VENV/ros_env.sh && pytest test/launch",
)

import toy_models
import toy_scene_models
import toy_scenes
import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.launch_description_sources import PythonLaunchDescriptionSource

from hand_pose_ros.ros.bringup import parameter_file, realsense_camera
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag_writer import BagWriter

MIDDLEWARES = ("rmw_fastrtps_cpp", "rmw_cyclonedds_cpp")
SHARE = Path(get_package_share_directory("hand_pose_ros"))
LAUNCH_FILES = sorted((SHARE / "launch").glob("*.launch.py"))
MODEL_LAUNCH_FILES = [path for path in LAUNCH_FILES if path.name != "replay.launch.py"]


def shipped() -> list[str]:
    """The parameter files whose model is shipped."""
    files = sorted((SHARE / "config").glob("*.yaml"))
    named = {
        path.name: yaml.safe_load(path.read_text())["/**"]["ros__parameters"]["pipeline"]["model"] for path in files
    }
    return [name for name, model in named.items() if (SHARE / "models" / f"{model}.onnx").exists()]


def probe(middleware: str, file: str, arguments: dict[str, str], **more: Any) -> dict[str, Any]:
    """What test/launch/probe.py saw of a launch file."""
    environment = {
        **os.environ,
        "RMW_IMPLEMENTATION": middleware,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
    }
    request = json.dumps({"file": file, "arguments": arguments, **more})
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "probe.py"), request],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("PROBE ")]
    assert lines, f"the probe ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    seen: dict[str, Any] = json.loads(lines[0].removeprefix("PROBE "))
    seen["log"] = done.stdout + done.stderr
    return seen


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Launch arguments that play a toy recording into a node with toy models."""
    folder = tmp_path_factory.mktemp("toys")
    with BagWriter(folder / "toy.mcap") as writer:
        for index in range(60):
            blob = toy_scenes.Blob(Side.RIGHT, (-0.1 + 0.003 * index, 0.02, 0.5))
            writer.write_frame(toy_scenes.toy_frame(blob, stamp=1.7e9 + index / 30), color="png")
    models = {
        "model": str(toy_models.hand_model(folder / "hand.onnx")),
        "finder": {"model": str(toy_models.finder_model(folder / "finder.onnx"))},
        "threads": 1,
    }
    parameters = folder / "toy.yaml"
    parameters.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"pipeline": models}}}))
    toy_scene_models.handformer2t_model(folder / "two_hands.onnx")
    return {"bag": str(folder / "toy.mcap"), "params_file": str(parameters), "player": "hand_pose"}


def assert_clean(seen: dict[str, Any], processes: int) -> None:
    """Ended by the first signal, by themselves: launch kills what has not ended after seconds, which shows here."""
    assert len(seen["exits"]) == processes, seen["log"]
    assert set(seen["exits"].values()) == {0}, f"{seen['exits']}\n{seen['log']}"
    assert "Traceback" not in seen["log"], seen["log"]


@pytest.mark.parametrize("middleware", MIDDLEWARES)
def test_replay_gives_hands_and_tf_and_ends_cleanly(middleware: str, toys: dict[str, str]) -> None:
    seen = probe(middleware, "replay.launch.py", toys)
    assert seen["state"] == "active", seen["log"]
    assert seen["frames"] == ["camera"]
    assert seen["topologies"] == 1
    assert len(seen["tf_distances"]) >= 10, seen["log"]
    assert max(seen["tf_distances"]) < 1e-5
    assert_clean(seen, processes=2)


def test_results_in_a_target_frame(toys: dict[str, str]) -> None:
    seen = probe(MIDDLEWARES[0], "replay.launch.py", {**toys, "target_frame": "base_link"}, base=10.0)
    assert seen["frames"] == ["base_link"], seen["log"]
    assert len(seen["wrist_x"]) >= 10 and all(9.5 < x < 10.5 for x in seen["wrist_x"])
    assert_clean(seen, processes=2)


@pytest.mark.parametrize("params_file", shipped())
def test_sample_replays_with_the_shipped_models(params_file: str) -> None:
    """The defaults simply work: parameter file, model, finder, recording."""
    seen = probe(MIDDLEWARES[0], "replay.launch.py", {"player": "hand_pose", "params_file": params_file})
    assert len(seen["tf_distances"]) >= 10 and max(seen["tf_distances"]) < 1e-5, seen["log"]
    assert_clean(seen, processes=2)


@pytest.mark.parametrize("middleware", MIDDLEWARES)
@pytest.mark.parametrize(("name", "model"), [("kpt_fusion", "hand.onnx"), ("keypoint_transformer", "two_hands.onnx")])
def test_a_model_runs_on_a_camera(middleware: str, name: str, model: str, toys: dict[str, str]) -> None:
    """With the parameter file of its own."""
    assert_runs(middleware, f"{name}.launch.py", model, toys, finder=str(Path(toys["bag"]).parent / "finder.onnx"))


@pytest.mark.parametrize("middleware", MIDDLEWARES)
def test_a_model_runs_on_colour_alone(middleware: str, tmp_path: Path, toys: dict[str, str]) -> None:
    """On a user's own copy of the parameter file, which says where to look: the toy finder needs depth."""
    values = yaml.safe_load((SHARE / "config" / "handformer2t.yaml").read_text())
    values["/**"]["ros__parameters"]["pipeline"]["finder"] = {"roi": "0.05 0.2 0.5 0.6"}
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(values))
    more = {"use_depth": "false", "finder": "boxes", "params_file": str(own)}
    assert_runs(middleware, "handformer2t.launch.py", "two_hands.onnx", toys, **more)


def assert_runs(middleware: str, file: str, model: str, toys: dict[str, str], **more: str) -> None:
    arguments = {"model": str(Path(toys["bag"]).parent / model), "color_transport": "compressed", **more}
    seen = probe(middleware, file, arguments, bag=toys["bag"])
    assert seen["state"] == "active" and seen["frames"] == ["camera"], seen["log"]
    assert len(seen["tf_distances"]) >= 10 and max(seen["tf_distances"]) < 1e-5, seen["log"]
    assert_clean(seen, processes=2)


@pytest.mark.parametrize(
    ("parameter", "words"),
    [("pipeline.model:=no_such_model", "no_such_model"), ("camera.source:=pyrealsense2", "pip install pyrealsense2")],
    ids=["model", "camera"],
)
def test_a_node_that_cannot_start_ends_and_says_why(toys: dict[str, str], parameter: str, words: str) -> None:
    """Not left hanging: the process ends with 1, the reason is on the screen. Jazzy's Python has no pyrealsense2."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)}
    program = str(SHARE.parents[1] / "lib" / "hand_pose_ros" / "hand_pose_node")
    arguments = ["--ros-args", "--params-file", toys["params_file"], "-p", parameter]
    done = subprocess.run(
        [sys.executable, program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert words in done.stderr + done.stdout


def declared(path: Path) -> dict[str, DeclareLaunchArgument]:
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    return {item.name: item for item in description.entities if isinstance(item, DeclareLaunchArgument)}


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_argument_is_at_the_top_level_and_described(path: Path) -> None:
    """`ros2 launch --show-args` lists what is declared at the top level only."""
    arguments = declared(path)
    assert {"model", "engine", "color_topic", "depth_topic", "camera_info_topic", "rviz", "use_sim_time", "namespace",
            "params_file"} <= arguments.keys()  # fmt: skip
    assert all(item.description and item.default_value is not None for item in arguments.values())


def test_models_have_the_same_arguments() -> None:
    """Who has learnt one launch file knows all; only the parameter file differs."""
    tables = []
    for path in MODEL_LAUNCH_FILES:
        arguments = declared(path)
        assert path.name.removesuffix(".launch.py") in _text(arguments.pop("params_file").default_value)
        tables.append({name: (item.description, _text(item.default_value)) for name, item in arguments.items()})
    assert len(tables) == 3 and tables[0] == tables[1] == tables[2]


def _text(substitutions: Any) -> str:
    return "".join(item.perform(LaunchContext()) for item in substitutions)


@pytest.mark.parametrize(("use_depth", "expected"), [("", "true"), ("true", "true"), ("false", "false")])
def test_the_camera_gives_depth_where_it_is_used(use_depth: str, expected: str) -> None:
    context = LaunchContext()
    context.launch_configurations.update(camera="realsense", use_depth=use_depth, source="")
    (include,) = realsense_camera().execute(context)
    settings = dict(include.launch_arguments)
    assert {settings[name] for name in ("enable_depth", "align_depth.enable", "enable_sync")} == {expected}


def test_only_one_program_reads_the_camera() -> None:
    context = LaunchContext()
    context.launch_configurations.update(camera="realsense", use_depth="", source="pyrealsense2")
    with pytest.raises(ValueError, match=r"camera:=realsense .* source:=pyrealsense2"):
        realsense_camera().execute(context)


@pytest.mark.parametrize("given", ["handformer2t.yaml", str(SHARE / "config" / "handformer2t.yaml")])
def test_a_parameter_file_is_named_or_a_path(given: str) -> None:
    assert parameter_file(given) == str(SHARE / "config" / "handformer2t.yaml")


def test_an_unknown_parameter_file_says_which_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"handformer2t\.yaml.*got 'hanformer2t\.yaml'"):
        parameter_file("hanformer2t.yaml")


def test_camera_and_rviz_are_started_as_asked(tmp_path: Path, toys: dict[str, str]) -> None:
    """Stand-ins for the two packages write down what they are started with."""
    prefix = tmp_path / "prefix"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    for package in ("realsense2_camera", "rviz2"):
        (index / package).touch()
    camera = prefix / "share" / "realsense2_camera" / "launch" / "rs_launch.py"
    camera.parent.mkdir(parents=True)
    camera.write_text(
        "import json\n"
        "from launch import LaunchDescription\n"
        "from launch.actions import OpaqueFunction\n"
        "def note(context):\n"
        f"    open({str(tmp_path / 'camera')!r}, 'w').write(json.dumps(dict(context.launch_configurations)))\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([OpaqueFunction(function=note)])\n"
    )
    viewer = prefix / "lib" / "rviz2" / "rviz2"
    viewer.parent.mkdir(parents=True)
    viewer.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "rviz"}\nexec sleep 100\n')
    viewer.chmod(0o755)
    program = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from launch import LaunchDescription, LaunchService\n"
        "from launch.actions import IncludeLaunchDescription\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "service = LaunchService(noninteractive=True)\n"
        "arguments = dict(item.split(':=') for item in sys.argv[2:])\n"
        "service.include_launch_description(LaunchDescription([IncludeLaunchDescription(\n"
        "    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments.items())]))\n"
        "def end():\n"
        f"    while not all((Path({str(tmp_path)!r}) / name).exists() for name in ('camera', 'rviz')):\n"
        "        time.sleep(0.1)\n"
        "    service.shutdown()\n"
        "threading.Thread(target=end, daemon=True).start()\n"
        "service.run()\n"
    )
    environment = {**os.environ, "AMENT_PREFIX_PATH": f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}"}
    arguments = ["camera:=realsense", "rviz:=true", "namespace:=robot", "depth_topic:=/cam/depth/image"]
    arguments.append(f"params_file:={toys['params_file']}")
    subprocess.run(
        [sys.executable, "-c", program, str(SHARE / "launch" / "kpt_fusion.launch.py"), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
    settings = json.loads((tmp_path / "camera").read_text())
    assert settings["align_depth.enable"] == settings["enable_sync"] == "true"
    shown = (tmp_path / "rviz").read_text()
    assert "hands.rviz" in shown and "/hand_pose/markers:=/robot/hand_pose/markers" in shown
    aligned = "/camera/camera/aligned_depth_to_color"  # the display's own topics follow those of the node
    assert f"{aligned}/image_raw:=/cam/depth/image" in shown
    assert f"{aligned}/camera_info:=/cam/depth/camera_info" in shown
