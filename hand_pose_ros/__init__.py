"""Metric 3D human hands from RGB-D frames, on a robot or offline."""

from pkgutil import extend_path

# A checkout on the path must not hide `hand_pose_ros.msg`, which ROS generates into another folder of this name.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
