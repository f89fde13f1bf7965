"""Keypoint Transformer: two hands and the object they hold, from colour (depth makes the distance exact).

`ros2 launch hand_pose_ros keypoint_transformer.launch.py camera:=realsense rviz:=true`; a webcam: `use_depth:=false`.
"""

from launch import LaunchDescription

from hand_pose_ros.ros.bringup import model_launch


def generate_launch_description() -> LaunchDescription:
    """Node, and on request RViz and the camera."""
    return model_launch("keypoint_transformer.yaml")
