"""Handformer2T: two hands and how sure each joint is, from colour (depth makes the distance exact).

`ros2 launch hand_pose_ros handformer2t.launch.py camera:=realsense rviz:=true`; a webcam: `use_depth:=false`.
"""

from launch import LaunchDescription

from hand_pose_ros.ros.bringup import model_launch


def generate_launch_description() -> LaunchDescription:
    """Node, and on request RViz and the camera."""
    return model_launch("handformer2t.yaml")
