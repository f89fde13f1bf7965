"""What a Keypoint Transformer is built from, and the four networks the authors published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Size = Literal["lite", "r18", "r34", "r50"]
Decoder = Literal["small", "big"]
Representation = Literal["3d", "2p5d", "angles"]
Variant = Literal["default", "authors"]
PeakSearch = Literal["greedy", "graph"]

CROP_SIZE: Final = 256
MAP_SIZE: Final = 128
# The maps have half the crop's resolution.
MAP_STRIDE: Final = 2
# Heat maps and segmentation regress this value at a joint and on the object.
MAP_RANGE: Final = 255.0
HANDS: Final = 2
# Spread of the heat map's Gaussians, pixels of the map, and how far from a joint a keypoint may lie to be that joint's,
# pixels of a 128x128 map (fact sheet section 6).
HEAT_SPREAD: Final = 1.25
JOINT_RADIUS: Final = 3.0
# Depth bins of the 2.5D representation span +-150 mm about the parent joint (fact sheet section 3).
DEPTH_HALF_RANGE: Final = 0.15


@dataclass(frozen=True)
class PeakSettings:
    """How keypoints are read off the maps (fact sheet section 2.3).

    Attributes:
        hand_threshold, object_threshold: of 255; a peak is above it.
        radius: pixels of the 128x128 map about a peak in which there is no other.
        rounds: of the search in the graph; each finds every pixel that is the largest of what is left about it. The
            result is the greedy search's once a round finds nothing new.
    """

    hand_threshold: float = 20.0
    object_threshold: float = 15.0
    radius: int = 5
    rounds: int = 8


@dataclass(frozen=True)
class Widths:
    """Channels and layer counts.

    Attributes:
        stem, stem_kernel: of the encoder.
        backbone, blocks, bottleneck: the encoder's four groups.
        deepest: channels the stride-32 map is reduced to before it is sampled; None leaves it.
        ups: channels of the up-sampled maps at strides 16, 8, 4, 2.
        skips: channels the encoder's maps at these strides are reduced to; None leaves them.
        outs: channels of the decoder's maps at these strides.
        map_head: hidden channels of the heat-map and segmentation heads (used with an object only).
        transposed: up-sample by 4x4 transposed convolutions; else a 1x1 convolution and nearest neighbours (cheaper).
        residual: strides 16 to 4 are a `MapDecoder` (ours); `ups` and `skips` then are those of stride 2 only, and
            `deepest` is None.
        token_hidden, object_hidden: hidden widths of the MLPs that make tokens.
        position: channels of the position code in a token.
        channels, heads, feed_forward: of the attention layers.
        hidden: of the MLP heads.
        hand_keypoints, hand_keypoints_beside_object, object_keypoints: slots.
        dropout: in the attention layers.
    """

    stem: int
    stem_kernel: int
    backbone: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    bottleneck: bool
    deepest: int | None
    ups: tuple[int, int, int, int]
    skips: tuple[int, int, int, int] | None
    outs: tuple[int, int, int, int]
    map_head: tuple[int, ...]
    transposed: bool = True
    residual: bool = False
    token_hidden: tuple[int, ...] = (1024, 512, 256)
    object_hidden: tuple[int, ...] = (512, 256, 256)
    position: int = 32
    channels: int = 256
    heads: int = 8
    feed_forward: int = 2048
    hidden: int = 256
    hand_keypoints: int = 100
    hand_keypoints_beside_object: int = 50
    object_keypoints: int = 50
    dropout: float = 0.1

    @property
    def maps(self) -> tuple[int, ...]:
        """Channels of the sampled maps at strides 2, 4, 8, 16, 32."""
        return (*reversed(self.outs), self.backbone[3] if self.deepest is None else self.deepest)


def _small(
    backbone: tuple[int, int, int, int], blocks: tuple[int, int, int, int], bottleneck: bool, deepest: int | None
) -> Widths:
    return Widths(
        stem=64,
        stem_kernel=7,
        backbone=backbone,
        blocks=blocks,
        bottleneck=bottleneck,
        deepest=deepest,
        ups=(256, 128, 64, 64),
        skips=(256, 128, 64, 32),
        outs=(256, 128, 64, 32),
        map_head=(32,),
    )


PRESETS: Final[Mapping[tuple[Size, Decoder], Widths]] = {
    ("lite", "small"): Widths(
        # Encoder and decoder are those of Handformer2T's variant, so that one training serves both.
        stem=24,
        stem_kernel=5,
        backbone=(32, 64, 112, 160),
        blocks=(1, 2, 2, 2),
        bottleneck=False,
        deepest=None,
        ups=(96, 64, 48, 16),
        skips=(112, 64, 32, 16),
        outs=(96, 64, 48, 16),
        map_head=(16,),
        transposed=False,
        residual=True,
        token_hidden=(192,),
        object_hidden=(192,),
        channels=128,
        heads=4,
        feed_forward=256,
        hidden=128,
        hand_keypoints=64,
        hand_keypoints_beside_object=48,
        object_keypoints=20,
        dropout=0.0,
    ),
    ("r18", "small"): _small((64, 128, 256, 512), (2, 2, 2, 2), False, None),
    ("r34", "small"): _small((64, 128, 256, 512), (3, 4, 6, 3), False, None),
    ("r50", "small"): _small((256, 512, 1024, 2048), (3, 4, 6, 3), True, 512),
    ("r50", "big"): Widths(
        stem=64,
        stem_kernel=7,
        backbone=(256, 512, 1024, 2048),
        blocks=(3, 4, 6, 3),
        bottleneck=True,
        deepest=None,
        ups=(1024, 512, 256, 128),
        skips=None,
        outs=(1024, 512, 256, 128),
        map_head=(128, 64),
        object_hidden=(1024, 512, 256),
    ),
}


@dataclass(frozen=True)
class KeypointTransformerConfig:
    """One Keypoint Transformer.

    Attributes:
        size: of the encoder; "lite" is ours, for CPUs.
        decoder: "big" exists for r50 only.
        representation: of the hands: "3d" joint vectors, "2p5d" image plane and relative depth, "angles" MANO's.
        objects: with object segmentation, object keypoints and the object's pose.
        left_object: the object's place from the left wrist too (training consistency; H2O-3D). Needs `objects`.
        self_layers: N_SA of Table 4; 0 leaves the tokens as they are.
        cross_layers: N_CA of Table 4.
        variant: "default" is the repaired network; "authors" computes what the published code computes and takes its
            checkpoints.
        peaks: how keypoints are found.
        crop: side of the crop in pixels, a multiple of 32; published: 256. Half of it is the side of the maps.
        heat_spread, joint_radius: what the heat map and the identities are taught: see `HEAT_SPREAD`, `JOINT_RADIUS`.
            Where a Gaussian is above the peaks' threshold beyond their radius, its flank is taken for more peaks.
        depth: the encoder reads the relief of a depth image (`geometry.relief`) beside colour (ours: a RealSense has
            one); where there is none it is 0.
        placed: maps of the joints of either hand, hands ordered by place (`placed`; ours), tell the tokens which joint
            is seen, and the queries where it is expected. Needs `representation` "3d" and a residual decoder.
        depth_look: the last word has a look at each hand by depth alone (ours, Handformer2T's
            `depth_look.DepthLook`); places and depths then are the result, not joints in space. Needs `depth` and
            `placed`.
        widths: overrides the preset.
    """

    size: Size = "lite"
    decoder: Decoder = "small"
    representation: Representation = "3d"
    objects: bool = False
    left_object: bool = False
    self_layers: int = 6
    cross_layers: int = 1
    variant: Variant = "default"
    peaks: PeakSettings = PeakSettings()
    widths: Widths | None = None
    crop: int = CROP_SIZE
    heat_spread: float = HEAT_SPREAD
    joint_radius: float = JOINT_RADIUS
    depth: bool = False
    placed: bool = False
    depth_look: bool = False

    def __post_init__(self) -> None:
        if (self.size, self.decoder) not in PRESETS:
            known = sorted(f"{size} with {decoder}" for size, decoder in PRESETS)
            raise ValueError(f"size and decoder: expected one of {known}, got {self.size!r} with {self.decoder!r}")
        if self.representation not in ("3d", "2p5d", "angles"):
            raise ValueError(f"representation: expected '3d', '2p5d' or 'angles', got {self.representation!r}")
        if self.variant not in ("default", "authors"):
            raise ValueError(f"variant: expected 'default' or 'authors', got {self.variant!r}")
        if self.variant == "authors" and self.size == "lite":
            raise ValueError("variant 'authors' has the sizes 'r18', 'r34' and 'r50'; 'lite' is not the authors'")
        if self.self_layers < 0 or self.cross_layers < 1:
            raise ValueError(
                f"expected self_layers >= 0 and cross_layers >= 1, got {self.self_layers} and {self.cross_layers}"
            )
        if self.crop < 64 or self.crop % 32:
            raise ValueError(f"crop: expected a multiple of 32 from 64 up, got {self.crop}")
        if self.left_object and not self.objects:
            raise ValueError("left_object needs objects=True: it is a head of the object")
        if self.variant == "authors" and (self.depth or self.placed):
            raise ValueError("depth and placed are ours; the variant 'authors' has neither")
        if self.depth_look and not (self.depth and self.placed):
            raise ValueError("depth_look needs depth and placed")
        if self.placed and (self.representation != "3d" or not self.network_widths.residual):
            raise ValueError("placed needs representation '3d' and a residual decoder, as size 'lite' has it")

    @property
    def network_widths(self) -> Widths:
        """`widths`, or the preset of `size` and `decoder`."""
        return PRESETS[self.size, self.decoder] if self.widths is None else self.widths

    @property
    def map_size(self) -> int:
        """Side of the heat map and the segmentation in pixels."""
        return self.crop // MAP_STRIDE

    @property
    def hand_slots(self) -> int:
        """Slots for hand keypoints."""
        widths = self.network_widths
        return widths.hand_keypoints_beside_object if self.objects else widths.hand_keypoints

    @property
    def object_slots(self) -> int:
        """Slots for object points."""
        return self.network_widths.object_keypoints if self.objects else 0

    @property
    def identities(self) -> int:
        """Classes of a keypoint: background, 42 joints, and the object where there is one."""
        return 44 if self.objects else 43


def published(name: str) -> KeypointTransformerConfig:
    """The network of one of the authors' checkpoints (fact sheet section 1).

    Args:
        name: "interhand" (Table 1), "interhand_mano" (their demo), "ho3d" or "h2o3d".
    """
    if name not in PUBLISHED:
        raise ValueError(f"published network: expected one of {sorted(PUBLISHED)}, got {name!r}")
    return PUBLISHED[name]


PUBLISHED: Final[Mapping[str, KeypointTransformerConfig]] = {
    "interhand": KeypointTransformerConfig(size="r50", representation="2p5d", variant="authors"),
    "interhand_mano": KeypointTransformerConfig(
        size="r50", decoder="big", representation="angles", cross_layers=6, variant="authors"
    ),
    "ho3d": KeypointTransformerConfig(size="r50", decoder="big", objects=True, cross_layers=6, variant="authors"),
    "h2o3d": KeypointTransformerConfig(size="r50", objects=True, left_object=True, variant="authors"),
}
