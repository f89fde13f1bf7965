"""What a Handformer2T is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from hand_pose_ros.networks.backbones.pictures import picture_channels

Size = Literal["lite", "r34", "r50"]
Tokens = Literal["hand", "joint"]
PatchSampling = Literal["bilinear", "nearest"]
PatchChannels = Literal["random", "learned"]
Order = Literal["side", "place"]

HANDS: Final = 2
# 3x3 feature cells about a joint (paper, section 3.4).
PATCH: Final = 9
# The third coordinate of a pose is metres behind the wrist over this (fact sheet section 5.1).
DEPTH_RANGE: Final = 0.4
# Floor of the predicted scale u, in the pose's units (fact sheet section 1).
SCALE_FLOOR: Final = 1e-3
MAX_STAGES: Final = 4


@dataclass(frozen=True)
class Widths:
    """Channels, and how much of each level of the encoder is read. Levels go from deep to shallow.

    Attributes:
        backbone, blocks, bottleneck: the encoder's four groups, shallow to deep as `ResNetEncoder` takes them.
        stem, stem_kernel: of the encoder.
        token: channels d of a token.
        lengths: c_i*, length of the feature vector of levels 1, 2, ... (strides 32, 16, ...).
        whole_channels: how many whole channels are flattened into it.
        patch_channels: channels in which the patches of levels 2, 3, ... are read.
        crop: side of the square crop in pixels.
        decoder: channels at strides 16, 8, 4 of a `MapDecoder` whose maps are read in place of the encoder's (ours);
            None: without.
    """

    backbone: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    bottleneck: bool
    stem: int
    stem_kernel: int
    token: int
    lengths: tuple[int, ...]
    whole_channels: tuple[int, ...]
    patch_channels: tuple[int, ...]
    crop: int = 256
    decoder: tuple[int, int, int] | None = None

    def cells(self, level: int) -> int:
        """Side of a level's map (level 0 is the deepest)."""
        return self.crop // (32 >> level)

    def channels(self, level: int) -> int:
        """Channels of a level's map."""
        return self.backbone[3 - level] if self.decoder is None or level == 0 else self.decoder[level - 1]


def _published(backbone: tuple[int, int, int, int], bottleneck: bool) -> Widths:
    return Widths(
        backbone=backbone,
        blocks=(3, 4, 6, 3),
        bottleneck=bottleneck,
        stem=64,
        stem_kernel=7,
        token=256,
        # The paper gives none of these; fact sheet section 10 says what fits its parameter counts. A fourth level is
        # never used there: its lengths are ours.
        lengths=(2560, 1792, 1792, 4608),
        whole_channels=(4, 2, 1, 1),
        patch_channels=(24, 16, 8),
    )


PRESETS: Final[Mapping[Size, Widths]] = {
    "lite": Widths(
        backbone=(24, 48, 96, 160),
        blocks=(1, 2, 2, 2),
        bottleneck=False,
        stem=16,
        stem_kernel=5,
        token=96,
        lengths=(512, 512, 1152, 4224),
        whole_channels=(4, 1, 1, 1),
        patch_channels=(10, 8, 4),
    ),
    "r34": _published((64, 128, 256, 512), False),
    "r50": _published((256, 512, 1024, 2048), True),
}


@dataclass(frozen=True)
class Handformer2TConfig:
    """One Handformer2T.

    Attributes:
        size: of the encoder; "lite" is ours, for CPUs.
        token_size: d, 128, 256 or 512 in Table 5; None takes the preset's (256; 96 for "lite").
        tokens: "hand" is the paper's two tokens; "joint" the 42 of Table 6.
        stages: N, one coarse predictor and N - 1 refiners; each reads a level shallower than the one before.
        layers: L, self-attention layers of the coarse predictor.
        heads: of every attention.
        keypoint_features: patches at the joints of the stage before; False leaves only pooled features (ablation).
        patch_sampling: "bilinear" at the joint itself; "nearest" crops whole cells as the paper words it.
        patch_channels: "random" channels of the map, drawn once; "learned" a 1x1 convolution to as many.
        residual: sums and layer norms about attention; False is the printed equations (fact sheet section 5.4).
        feature_norm: layer norm over a level's feature vector.
        delta: a refiner's pose is a correction of the pose before it; else it is a pose.
        maps: the coarse pose corrects the one that maps of the joints expect (ours, `maps.MapPose`).
        order: tokens are the "side"s right and left (paper), or hands by "place", the one farther left in the picture
            first, and a logit of each says its side (ours): where a hand is can be seen long before which it is. Needs
            `presence`.
        presence: a logit per hand that it is there (ours; a robot needs it).
        relative_depth: depth from the right to the left wrist (ours, for the same reason).
        depth: the encoder reads the relief of a depth image (`geometry.relief`) beside colour (ours: a RealSense has
            one); where there is none it is 0.
        closer: the last word has a closer look at each hand (ours, `closer.CloserLook`); the crop then is twice as
            large as `widths.crop`, at which it is seen whole. Needs `order="place"`, maps and a decoder.
        depth_look: and one by depth alone (ours, `depth_look.DepthLook`). Needs `order="place"` and `depth`.
        seed: of the drawn indices; a checkpoint's indices take their place.
        widths: overrides the preset.
    """

    size: Size = "lite"
    token_size: int | None = None
    tokens: Tokens = "hand"
    stages: int = 3
    layers: int = 3
    heads: int = 8
    keypoint_features: bool = True
    patch_sampling: PatchSampling = "bilinear"
    patch_channels: PatchChannels = "random"
    residual: bool = True
    feature_norm: bool = False
    delta: bool = False
    maps: bool = False
    order: Order = "side"
    presence: bool = False
    relative_depth: bool = False
    depth: bool = False
    closer: bool = False
    depth_look: bool = False
    seed: int = 0
    widths: Widths | None = None

    def __post_init__(self) -> None:
        _one_of("size", self.size, tuple(PRESETS))
        _one_of("tokens", self.tokens, ("hand", "joint"))
        _one_of("patch_sampling", self.patch_sampling, ("bilinear", "nearest"))
        _one_of("patch_channels", self.patch_channels, ("random", "learned"))
        _one_of("order", self.order, ("side", "place"))
        if self.order == "place" and not self.presence:
            raise ValueError('order="place" needs presence=True: one hand is told from two before it is dealt a side')
        if self.closer and (self.order != "place" or not self.maps or self.network_widths.decoder is None):
            raise ValueError('closer=True needs order="place", maps=True and widths with a decoder')
        if self.depth_look and (self.order != "place" or not self.depth):
            raise ValueError('depth_look=True needs order="place" and depth=True')
        if not 1 <= self.stages <= MAX_STAGES or self.layers < 1:
            raise ValueError(
                f"expected stages of 1 to {MAX_STAGES} (the encoder's levels) and layers >= 1, got {self.stages} and "
                f"{self.layers}"
            )
        if self.channels % self.heads:
            raise ValueError(f"token_size ({self.channels}) must be a multiple of heads ({self.heads})")
        self._check_levels()

    def _check_levels(self) -> None:
        widths = self.network_widths
        if len(widths.lengths) < self.stages or len(widths.whole_channels) < self.stages:
            raise ValueError(f"widths: expected lengths and whole_channels of {self.stages} levels, got {widths}")
        if len(widths.patch_channels) < self.stages - 1 or widths.crop % 32:
            raise ValueError(
                f"widths: expected patch_channels of {self.stages - 1} levels and a crop of whole 32s, got {widths}"
            )
        for level in range(self.stages):
            elements = self.elements(level)
            available = widths.channels(level) * widths.cells(level) ** 2
            if not 0 < elements <= available:
                raise ValueError(
                    f"widths: level {level + 1} leaves {elements} single elements of {available} to draw; a length "
                    "must exceed the channels plus the whole channels' cells"
                )

    @property
    def network_widths(self) -> Widths:
        """`widths`, or the preset of `size`."""
        return PRESETS[self.size] if self.widths is None else self.widths

    @property
    def picture(self) -> int:
        """Side in pixels of the crop that the network takes."""
        return (2 if self.closer else 1) * self.network_widths.crop

    @property
    def picture_channels(self) -> int:
        """Colours, and the relief's maps."""
        return picture_channels(self.depth)

    @property
    def channels(self) -> int:
        """d: `token_size`, or the preset's."""
        return self.network_widths.token if self.token_size is None else self.token_size

    def elements(self, level: int) -> int:
        """Single elements in a level's feature vector (Eq. 4: what is left of its length)."""
        widths = self.network_widths
        taken = widths.channels(level) + widths.whole_channels[level] * widths.cells(level) ** 2
        return widths.lengths[level] - taken


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected one of {known}, got {value!r}")
