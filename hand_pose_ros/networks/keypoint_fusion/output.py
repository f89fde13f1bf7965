"""What the network returns."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class SupervisedOutput(Protocol):
    """What the paper's losses read; both variants' outputs have it. Fields as in `KeypointFusionOutput`."""

    @property
    def initial_uvd(self) -> Tensor: ...
    @property
    def depth_map(self) -> Tensor: ...
    @property
    def rgb_map(self) -> Tensor | None: ...
    @property
    def depth_small(self) -> Tensor: ...
    @property
    def refined(self) -> tuple[Tensor, ...]: ...
    @property
    def final(self) -> tuple[Tensor, ...]: ...
    @property
    def spatial_weights(self) -> tuple[Tensor, ...]: ...
    @property
    def has_rgb(self) -> Tensor: ...


class KeypointFusionOutput(NamedTuple):
    """All outputs of one forward pass; B samples, 21 joints, 32x32 maps.

    xyz_nl is (camera xyz - center) / (cube / 2); uvd_nl is the crop's image plane in [-1, 1] and the same depth.

    Attributes:
        joints: (B, 21, 3) xyz_nl, the last stage's final pose; the depth branch's votes where there is no stage.
        initial_uvd: (B, 21, 3) uvd_nl, AWR's read-out of the depth branch.
        depth_map: (B, 105, 32, 32): 63 unit vectors (joint-major u, v, d), 21 closeness, 21 weights.
        rgb_map: (B, 105, 32, 32), the same of the colour branch; supervision only. None where there is no stage.
        depth_small: (B, 1, 32, 32) normalised depth the maps refer to; 1 where there is none.
        refined: per stage (B, 21, 3) xyz_nl, from the depth keypoints; empty without `FusionParts.refinement`.
        final: per stage (B, 21, 3) xyz_nl, from the fused keypoints.
        spatial_weights: per stage (B, 21, 32, 32) in 0..1, the heat-map weight map; empty without
            `FusionParts.heatmap_weights`. With dense fusion this and `refined` are empty.
        spread: (B, 21) metres per axis, how far the pixels' votes scatter about the joint; no gradient.
        presence_logit: (B,) that the crop is centred on a hand.
        side_logit: (B,) that it is the expected (right) hand.
        has_rgb: (B,) 1 where a colour image was given, 0 where it is all zero.
    """

    joints: Tensor
    initial_uvd: Tensor
    depth_map: Tensor
    rgb_map: Tensor | None
    depth_small: Tensor
    refined: tuple[Tensor, ...]
    final: tuple[Tensor, ...]
    spatial_weights: tuple[Tensor, ...]
    spread: Tensor
    presence_logit: Tensor
    side_logit: Tensor
    has_rgb: Tensor
