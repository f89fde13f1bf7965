"""What the launch files of all models share: one table of arguments, and the node, RViz and camera they start.

A launch argument left empty keeps the value of the parameter file: defaults stand in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from hand_pose_ros.config import ENGINES, TopicConfig

PACKAGE: Final = "hand_pose_ros"
_FLAGS: Final = ("true", "false")
_RESPAWN_S: Final = 2.0
_DEFAULT_TOPICS: Final = TopicConfig()  # those that rviz/hands.rviz names


@dataclass(frozen=True)
class Argument:
    """A launch argument; with `parameter` it sets that parameter of the node unless it is left empty."""

    name: str
    description: str
    default: str = ""
    choices: tuple[str, ...] | None = None
    parameter: str | None = None

    def declare(self) -> DeclareLaunchArgument:
        """The action that makes it known to `--show-args`."""
        empty = " Empty: as in params_file." if self.parameter and self.default == "" else ""
        more: dict[str, Any] = {} if self.choices is None else {"choices": list(self.choices)}
        return DeclareLaunchArgument(
            self.name, default_value=self.default, description=self.description + empty, **more
        )


def node_arguments(params_file: str) -> tuple[Argument, ...]:
    """The arguments that every model's launch file has; `params_file` is a file name in config/."""
    return (
        Argument(
            "model", "Hand pose model: a name from the zoo or a path to an .onnx file.", parameter="pipeline.model"
        ),
        Argument(
            "engine",
            "Inference engine.",
            choices=("", *ENGINES),
            parameter="pipeline.engine",
        ),
        Argument(
            "finder",
            "Hand finder: a name from the zoo, a path to an .onnx file, mediapipe, or boxes (told from outside only).",
            parameter="pipeline.finder.model",
        ),
        Argument("color_topic", "Colour image topic.", parameter="topics.color"),
        Argument(
            "depth_topic",
            "Depth image topic, aligned to colour or with depth_camera_info_topic.",
            parameter="topics.depth",
        ),
        Argument("camera_info_topic", "Camera info topic of the colour image.", parameter="topics.camera_info"),
        Argument(
            "depth_camera_info_topic",
            "Camera info topic of a depth image that is not aligned to colour: the node aligns it.",
            parameter="topics.depth_camera_info",
        ),
        Argument(
            "hand_boxes_topic",
            "Boxes of hands from another detector (vision_msgs/Detection2DArray).",
            parameter="topics.hand_boxes",
        ),
        Argument(
            "color_transport",
            "How colour comes.",
            choices=("", "raw", "compressed"),
            parameter="topics.color_transport",
        ),
        Argument(
            "depth_transport",
            "How depth comes.",
            choices=("", "raw", "compressedDepth"),
            parameter="topics.depth_transport",
        ),
        Argument(
            "use_depth",
            "false works on colour alone, as a webcam gives it; Keypoint-Fusion needs depth.",
            choices=("", *_FLAGS),
            parameter="topics.use_depth",
        ),
        Argument("target_frame", "Express results in this TF frame.", parameter="publish.target_frame"),
        Argument(
            "tf_prefix",
            "Put before every TF frame name, so that several nodes do not clash.",
            parameter="publish.tf_prefix",
        ),
        Argument("autostart", "Configure and activate at start.", "true", _FLAGS, "autostart"),
        Argument("build_only", "Build the models' engines (TensorRT), then end.", "false", _FLAGS, "build_only"),
        Argument("respawn", "Start the node again, 2 s later, when it ends by itself.", "false", _FLAGS),
        Argument("use_sim_time", "Take the time from /clock.", "false", _FLAGS, "use_sim_time"),
        Argument("namespace", "Namespace of the node (its name is hand_pose)."),
        Argument("params_file", "Parameter file: a path, or the name of one in config/ of this package.", params_file),
        Argument("log_level", "Log level of the node.", "info", ("debug", "info", "warn", "error", "fatal")),
        Argument("rviz", "Show the results in RViz.", "false", _FLAGS),
        Argument("fixed_frame", "Fixed frame of RViz.", "camera_color_optical_frame"),
    )


CAMERA: Final = Argument(
    "camera",
    "realsense also starts realsense2_camera with depth aligned to colour and frames synchronised.",
    "none",
    ("none", "realsense"),
)


SOURCE: Final = (
    Argument(
        "source",
        "Where images come from: topics; pyrealsense2 reads a RealSense in the node (in place of camera:=realsense).",
        choices=("", "topics", "pyrealsense2"),
        parameter="camera.source",
    ),
    Argument("serial", "source:=pyrealsense2: serial number of the camera.", parameter="camera.serial"),
)


def describe(arguments: Iterable[Argument], *actions: LaunchDescriptionEntity) -> LaunchDescription:
    """A launch description with its arguments at the top level."""
    return LaunchDescription([*(item.declare() for item in arguments), *actions])


def hand_pose_node(
    arguments: tuple[Argument, ...],
    params_file: str,
    found: Callable[[LaunchContext], Mapping[str, Any]] = lambda context: {},
) -> OpaqueFunction:
    """The action that starts the node with what the arguments say; `found` gives parameters that they override."""

    def start(context: LaunchContext) -> list[Node]:
        given = {item.name: LaunchConfiguration(item.name).perform(context) for item in arguments}
        told = {
            item.parameter: given[item.name]
            for item in arguments
            if item.parameter is not None and given[item.name] != ""
        }
        overrides = {name: _parameter_value(value) for name, value in {**found(context), **told}.items()}
        return [
            Node(
                package=PACKAGE,
                executable="hand_pose_node",
                name="hand_pose",
                namespace=given["namespace"],
                parameters=[parameter_file(given["params_file"] or params_file), overrides],
                arguments=["--ros-args", "--log-level", given["log_level"]],
                output="screen",
                emulate_tty=True,
                respawn=given["respawn"] == "true",
                respawn_delay=_RESPAWN_S,
            )
        ]

    return OpaqueFunction(function=start)


def parameter_file(name: str) -> str:
    """The path of a parameter file, given by the name of one in config/ of this package or by a path.

    Raises:
        FileNotFoundError: there is none; the text lists those of the package.
    """
    folder = Path(get_package_share_directory(PACKAGE)) / "config"
    for path in (folder / name, Path(name).expanduser()):
        if path.is_file():
            return str(path)
    known = ", ".join(sorted(path.name for path in folder.glob("*.yaml")))
    raise FileNotFoundError(f"params_file: expected a path or one of {known}; got {name!r}")


def rviz_node() -> OpaqueFunction:
    """RViz with our display where `rviz` is true; its topics follow the namespace."""

    def start(context: LaunchContext) -> list[Node]:
        namespace = LaunchConfiguration("namespace").perform(context).strip("/")
        topics = ("markers", "mesh_markers", "overlay", "inside")
        remappings = [(f"/hand_pose/{topic}", f"/{namespace}/hand_pose/{topic}") for topic in topics if namespace]
        for argument, topic in (("color_topic", _DEFAULT_TOPICS.color), ("depth_topic", _DEFAULT_TOPICS.depth)):
            if given := LaunchConfiguration(argument).perform(context):
                remappings += [(topic, given), (_info_beside(topic), _info_beside(given))]
        display = PathJoinSubstitution([FindPackageShare(PACKAGE), "rviz", "hands.rviz"])
        return [
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz2",
                arguments=["-d", display, "-f", LaunchConfiguration("fixed_frame")],
                parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time").perform(context) == "true"}],
                remappings=remappings,
            )
        ]

    return OpaqueFunction(function=start, condition=IfCondition(LaunchConfiguration("rviz")))


def _info_beside(topic: str) -> str:
    """Where camera_info of an image topic is by custom, and where RViz' DepthCloud looks for it."""
    return f"{topic.rpartition('/')[0]}/camera_info"


def realsense_camera() -> OpaqueFunction:
    """realsense-ros where `camera` is realsense; align and sync are off by default there and both are needed.

    Raises when launched:
        ValueError: the node is to read the camera itself, which only one program can.
    """

    def start(context: LaunchContext) -> list[IncludeLaunchDescription]:
        if LaunchConfiguration(CAMERA.name).perform(context) != "realsense":
            return []
        if LaunchConfiguration("source").perform(context) == "pyrealsense2":
            raise ValueError(
                "camera:=realsense starts realsense2_camera, source:=pyrealsense2 reads the camera in the node: "
                "expected one of both, since only one program can have the camera"
            )
        path = PathJoinSubstitution([FindPackageShare("realsense2_camera"), "launch", "rs_launch.py"])
        depth = "false" if LaunchConfiguration("use_depth").perform(context) == "false" else "true"
        settings = {
            "align_depth.enable": depth,
            "enable_sync": depth,
            "enable_color": "true",
            "enable_depth": depth,
            "rgb_camera.color_profile": "640x480x30",
            "depth_module.depth_profile": "640x480x30",
        }
        return [IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments=settings.items())]

    return OpaqueFunction(function=start)


def model_launch(params_file: str) -> LaunchDescription:
    """The launch description of one model: node, RViz, camera."""
    arguments = (*node_arguments(params_file), *SOURCE, CAMERA)
    return describe(arguments, hand_pose_node(arguments, params_file), rviz_node(), realsense_camera())


def _parameter_value(value: Any) -> Any:
    """Texts "true" and "false" are flags; every other text stays text, whatever it looks like."""
    if not isinstance(value, str):
        return value
    return value == "true" if value in _FLAGS else ParameterValue(value, value_type=str)
