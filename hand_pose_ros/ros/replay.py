"""The launch description that plays a recording into the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hand_pose_ros.ros.bringup import PACKAGE, Argument, describe, hand_pose_node, node_arguments, rviz_node
from hand_pose_ros.ros.recorded_topics import topic_parameters

_FLAGS: Final = ("true", "false")
PLAYER: Final = (
    Argument("bag", "Recording: a rosbag2 folder, a .mcap or a .db3 file. Empty: the bundled sample."),
    Argument("rate", "Speed; 2.0 plays twice as fast.", "1.0"),
    Argument("loop", "Begin again at the end.", "true", _FLAGS),
    Argument("exit_at_end", "End everything when the recording ends.", "false", _FLAGS),
    Argument(
        "player",
        "What plays: ros2_bag, or hand_pose where rosbag2 is not installed; auto takes ros2_bag where it is.",
        "auto",
        ("auto", "ros2_bag", "hand_pose"),
    ),
)


def replay_launch(params_file: str) -> LaunchDescription:
    """Node, player and RViz; topics and transports that are not given are those found in the recording."""
    arguments = tuple(_with_sim_time(item) for item in node_arguments(params_file))
    node = hand_pose_node(arguments, params_file, lambda context: topic_parameters(_bag(context)))
    return describe((*PLAYER, *arguments), node, OpaqueFunction(function=_start_player), rviz_node())


def _with_sim_time(item: Argument) -> Argument:
    if item.name != "use_sim_time":
        return item
    return Argument(item.name, "Take the time from the recording.", "true", item.choices, item.parameter)


def _bag(context: LaunchContext) -> Path:
    text = LaunchConfiguration("bag").perform(context)
    return Path(text) if text else Path(get_package_share_directory(PACKAGE)) / "sample" / "hand_sample.mcap"


def _start_player(context: LaunchContext) -> list[Any]:
    given = {item.name: LaunchConfiguration(item.name).perform(context) for item in PLAYER}
    if given["player"] == "auto":
        given["player"] = "ros2_bag" if _installed("ros2bag") else "hand_pose"
    loop, bag = given["loop"] == "true", str(_bag(context))
    if given["player"] == "ros2_bag":
        command = ["ros2", "bag", "play", bag, "--clock", "--rate", given["rate"]]
        player: Any = ExecuteProcess(cmd=command + (["--loop"] if loop else []), output="screen")
    else:
        parameters = {"bag": bag, "rate": float(given["rate"]), "loop": loop, "clock": True}
        player = Node(package=PACKAGE, executable="hand_pose_player", parameters=[parameters], output="screen")
    actions = [player]
    if given["exit_at_end"] == "true":
        end = EmitEvent(event=Shutdown(reason="the recording has ended"))
        actions.append(RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[end])))
    return actions


def _installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True
