"""What a Keypoint-Fusion network is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Size = Literal["lite", "r18"]
Variant = Literal["default", "authors"]

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
}


@dataclass(frozen=True)
class KeypointFusionConfig:
    """One Keypoint-Fusion network.

    Attributes:
        size: "lite" for CPUs and small Jetsons, "r18" the paper's ResNet-18 size.
        variant: "default" is the repaired network in our joint order; "authors" computes what the published code
            computes, in its joint order, and takes its checkpoints (r18 only).
        stages: fusion stages; the paper uses 2.
        widths: overrides the preset of `size`.
    """

    size: Size = "lite"
    variant: Variant = "default"
    stages: int = 2
    widths: Widths | None = None

    def __post_init__(self) -> None:
        if self.size not in PRESETS:
            raise ValueError(f"size: expected one of {sorted(PRESETS)}, got {self.size!r}")
        if self.variant not in ("default", "authors"):
            raise ValueError(f"variant: expected 'default' or 'authors', got {self.variant!r}")
        if self.variant == "authors" and (self.size != "r18" or self.stages != 2):
            raise ValueError(
                f"variant 'authors' exists with size 'r18' and 2 stages only, got {self.size!r} and {self.stages}"
            )
        if self.stages < 1:
            raise ValueError(f"stages: expected at least 1, got {self.stages}")

    @property
    def network_widths(self) -> Widths:
        """`widths`, or the preset of `size`."""
        return PRESETS[self.size] if self.widths is None else self.widths
