"""vision_msgs, which a robot may or may not have."""

from __future__ import annotations

import os

from hand_pose_ros.options import ConfigError
from hand_pose_ros.ros.message_classes import message_class


def vision_class(option: str, msgtype: str) -> type:
    """The class of a vision_msgs type that the value of `option` asks for.

    Raises:
        ConfigError: vision_msgs is not installed; the text names the package to install.
    """
    try:
        return message_class(msgtype)
    except ImportError as error:
        package = f"ros-{os.environ.get('ROS_DISTRO') or '<distro>'}-vision-msgs"
        raise ConfigError(
            f"{option}: expected vision_msgs to be installed, got: {error}; sudo apt install {package}"
        ) from error
