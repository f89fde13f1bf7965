"""For `pip install .` where there is no ROS; shipped models and message definitions travel as data files."""

from pathlib import Path

from setuptools import setup


def files(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """What of `folder` goes to the same folder of `share/hand_pose_ros`."""
    found = sorted(str(path) for pattern in patterns for path in Path(folder).glob(pattern))
    return f"share/hand_pose_ros/{folder}", found


setup(data_files=[files("models", "*.onnx", "*.npz", "*.json", "*.md"), files("msg", "*.msg")])
