"""Keypoint-Fusion on an RGB-D camera: `ros2 launch hand_pose_ros kpt_fusion.launch.py camera:=realsense rviz:=true`."""

from launch import LaunchDescription

from hand_pose_ros.ros.bringup import model_launch


def generate_launch_description() -> LaunchDescription:
    """Node, and on request RViz and the camera."""
    return model_launch("kpt_fusion.yaml")
