"""Image encoders shared by the networks."""

from hand_pose_ros.networks.backbones.convnext import ConvNeXtEncoder
from hand_pose_ros.networks.backbones.resnet import ResNetEncoder

__all__ = ["ConvNeXtEncoder", "ResNetEncoder"]
