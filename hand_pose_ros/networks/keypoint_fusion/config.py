"""What a Keypoint-Fusion network is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Size = Literal["lite", "r18", "convnext_t"]
Variant = Literal["default", "authors"]
Fusion = Literal["keypoint", "dense"]
MAX_STAGES: Final = 3  # the paper's ablation ends there

# AWR's kernel (paper: 0.8 of half a cube): a pixel votes for joints nearer than this.
KERNEL: Final = 0.8
CROP_SIZE: Final = 128
MAP_SIZE: Final = 32
# Normalised depth at and above this is background or no reading.
BACKGROUND: Final = 0.99


@dataclass(frozen=True)
class Widths:
    """Channels and layer counts.

    Attributes:
        depth, depth_blocks: channels and basic blocks of the depth encoder's four groups.
        rgb, rgb_blocks: the same of the colour encoder.
        stem_kernel: of both encoders.
        features: channels of the 32x32 feature maps.
        tokens: channels of the joints' tokens.
        layers: self-attention layers per joint transformer.
        heads: attention heads.
        feed_forward: inner width of a transformer layer.
        refine_skips: the paper's residual modules on the decoder's skip and up paths too.
        ball_query: DESA's ball query and max pooling about the joints; else soft neighbourhoods, which are cheaper.
        dropout: in the transformers; none for lite, which cannot overfit endless synthetic data.
        encoder: "resnet" (basic blocks) or "convnext", of both branches; ConvNeXt has no use for `stem_kernel`.
        embed: one more residual module on the feature map, before the heads (the authors' ConvNeXt has it).
    """

    depth: tuple[int, int, int, int]
    depth_blocks: tuple[int, int, int, int]
    rgb: tuple[int, int, int, int]
    rgb_blocks: tuple[int, int, int, int]
    stem_kernel: int
    features: int
    tokens: int
    layers: int
    heads: int
    feed_forward: int
    refine_skips: bool
    ball_query: bool
    dropout: float
    encoder: Literal["resnet", "convnext"] = "resnet"
    embed: bool = False


PRESETS: Final[Mapping[str, Widths]] = {
    "lite": Widths(
        depth=(32, 64, 96, 160),
        depth_blocks=(1, 2, 2, 1),
        rgb=(16, 32, 64, 128),
        rgb_blocks=(1, 1, 1, 1),
        stem_kernel=5,
        features=48,
        tokens=96,
        layers=2,
        heads=4,
        feed_forward=192,
        refine_skips=False,
        ball_query=False,
        dropout=0.0,
    ),
    "r18": Widths(
        depth=(64, 128, 256, 512),
        depth_blocks=(2, 2, 2, 2),
        rgb=(64, 128, 256, 512),
        rgb_blocks=(2, 2, 2, 2),
        stem_kernel=7,
        features=128,
        tokens=128,
        layers=4,
        heads=4,
        feed_forward=16,
        refine_skips=True,
        ball_query=True,
        dropout=0.1,
    ),
    "convnext_t": Widths(
        depth=(96, 192, 384, 768),
        depth_blocks=(3, 3, 9, 3),
        rgb=(96, 192, 384, 768),
        rgb_blocks=(3, 3, 9, 3),
        stem_kernel=4,
        features=128,
        tokens=128,
        layers=4,
        heads=4,
        feed_forward=16,
        refine_skips=True,
        ball_query=True,
        dropout=0.1,
        encoder="convnext",
        embed=True,
    ),
}


@dataclass(frozen=True)
class FusionParts:
    """The parts of a fusion stage, each of which can be taken out: the rows of the paper's Table 5.

    The paper names them and does not say what stands in their place; that is our choice, given here.

    Attributes:
        heatmap_weights: the heat-map weight map (Eq. 1). Without it the geometry adjacency map alone weighs the colour
            features (Eq. 3 with one term), and there is no `spatial_weights` to supervise.
        geometry_adjacency: the geometry adjacency map (Eq. 2). Without it the heat-map weight map alone weighs them.
            With neither, each joint takes the colour features under a fixed Gaussian where it projects (the heat map
            of Eq. 1, unlearnt).
        point_features: the point cloud's part in the depth keypoints: the points' positions, how the joints lie seen
            from them, and the local aggregation about each joint. Without it they are the depth map's features pooled
            with AWR's weights: a 2D branch.
        projected_rgb: the colour features projected onto the points (Eq. 4's first term).
        refinement: the pose that the depth keypoints give before the colour keypoints are taken. Without it a stage
            takes the colour at the pose it was given, and there is no `refined` pose to supervise; the depth keypoints
            still feed the fusion.
    """

    heatmap_weights: bool = True
    geometry_adjacency: bool = True
    point_features: bool = True
    projected_rgb: bool = True
    refinement: bool = True


ALL_PARTS: Final = FusionParts()


@dataclass(frozen=True)
class KeypointFusionConfig:
    """One Keypoint-Fusion network.

    Attributes:
        size: "lite" for CPUs and small Jetsons; "r18" and "convnext_t" are the paper's sizes.
        variant: "default" is the repaired network in our joint order; "authors" computes what the published code
            computes, in its joint order, and takes its checkpoints ("r18" and "convnext_t").
        stages: fusion stages, 0 to 3; the paper uses 2. With 0 there is no colour at all: the depth branch's votes are
            the pose (the paper's depth-only baseline).
        widths: overrides the preset of `size`.
        parts: which parts of a stage there are.
        fusion: "keypoint" is the paper's. "dense" is the baseline its efficiency is compared with: every pixel of one
            modality attends to every pixel of the other (`dense.DenseStage`, our own construction).
    """

    size: Size = "lite"
    variant: Variant = "default"
    stages: int = 2
    widths: Widths | None = None
    parts: FusionParts = ALL_PARTS
    fusion: Fusion = "keypoint"

    def __post_init__(self) -> None:
        if self.size not in PRESETS:
            raise ValueError(f"size: expected one of {sorted(PRESETS)}, got {self.size!r}")
        if self.variant not in ("default", "authors"):
            raise ValueError(f"variant: expected 'default' or 'authors', got {self.variant!r}")
        if self.fusion not in ("keypoint", "dense"):
            raise ValueError(f"fusion: expected 'keypoint' or 'dense', got {self.fusion!r}")
        if not 0 <= self.stages <= MAX_STAGES:
            raise ValueError(f"stages: expected 0 to {MAX_STAGES}, got {self.stages}")
        if self.variant == "authors":
            self._check_published()
        if self.parts != ALL_PARTS and (self.fusion == "dense" or self.stages == 0):
            raise ValueError(
                f"parts: they are parts of keypoint fusion stages, got {self.parts} with fusion {self.fusion!r} and "
                f"{self.stages} stages; leave parts at its default"
            )

    def _check_published(self) -> None:
        published = self.size != "lite" and self.stages == 2 and self.fusion == "keypoint" and self.parts == ALL_PARTS
        if not published:
            raise ValueError(
                "variant 'authors' exists with size 'r18' or 'convnext_t', 2 stages, fusion 'keypoint' and all parts "
                f"only, got {self.size!r}, {self.stages} stages, {self.fusion!r}, {self.parts}"
            )

    @property
    def network_widths(self) -> Widths:
        """`widths`, or the preset of `size`."""
        return PRESETS[self.size] if self.widths is None else self.widths
