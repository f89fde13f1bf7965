"""Networks small enough for tests."""

from __future__ import annotations

from typing import Any

from hand_pose_ros.networks.handformer2t import Handformer2TConfig, Widths

TINY_WIDTHS = Widths(
    backbone=(8, 8, 16, 16),
    blocks=(1, 1, 1, 1),
    bottleneck=False,
    stem=8,
    stem_kernel=3,
    token=32,
    lengths=(32, 48, 96, 300),
    whole_channels=(2, 1, 1, 1),
    patch_channels=(4, 3, 2),
    crop=64,
)


def tiny(**changes: Any) -> Handformer2TConfig:
    """A configuration for crops of 64 pixels."""
    return Handformer2TConfig(**{"widths": TINY_WIDTHS, "heads": 4, "layers": 1, **changes})
