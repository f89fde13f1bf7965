"""For `pip install .` where there is no ROS; the shipped models travel as data files."""

from glob import glob

from setuptools import setup

setup(data_files=[("share/hand_pose_ros/models", sorted(glob("models/*.onnx") + glob("models/*.md")))])
