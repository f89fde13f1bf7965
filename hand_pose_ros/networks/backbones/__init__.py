"""Image encoders and a decoder shared by the networks."""

from hand_pose_ros.networks.backbones.convnext import ConvNeXtEncoder
from hand_pose_ros.networks.backbones.decoder import MapDecoder
from hand_pose_ros.networks.backbones.resnet import ResNetEncoder

__all__ = ["ConvNeXtEncoder", "MapDecoder", "ResNetEncoder"]
