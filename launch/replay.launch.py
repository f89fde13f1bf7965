"""Play a recording into the node: `ros2 launch hand_pose_ros replay.launch.py bag:=/path/to/bag rviz:=true`."""

from launch import LaunchDescription

from hand_pose_ros.ros.replay import replay_launch


def generate_launch_description() -> LaunchDescription:
    """Node, player, and on request RViz."""
    return replay_launch("kpt_fusion.yaml")
