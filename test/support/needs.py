"""Test modules that need something a machine may not have."""

from __future__ import annotations

import importlib
import os

import pytest


def needs(*modules: str, remedy: str) -> None:
    """Skip the calling test module unless these can be imported; in CI their absence is an error, not a skip."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            if os.environ.get("HAND_POSE_NO_SKIP") == "1":
                raise
            pytest.skip(f"{error}; {remedy}", allow_module_level=True)


def needs_ros() -> None:
    """Skip the calling test module without rclpy and the generated messages."""
    needs("rclpy", "tf2_msgs.msg", "hand_pose_ros.msg", remedy="set up with scripts/setup_ros_light.py VENV")
