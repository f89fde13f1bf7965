"""What the ablation compares: the rows of the paper's tables as configurations of our network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from hand_pose_ros.networks.keypoint_fusion import FusionParts, KeypointFusionConfig, Widths
from hand_pose_ros.networks.keypoint_fusion.config import PRESETS

# Narrow enough for minutes of one CPU core; the 128-pixel crop, the 32x32 maps and 32 channels per head are the
# network's own.
TINY: Final = Widths(
    depth=(16, 24, 32, 48),
    depth_blocks=(1, 1, 1, 1),
    rgb=(8, 16, 24, 32),
    rgb_blocks=(1, 1, 1, 1),
    stem_kernel=3,
    features=24,
    tokens=32,
    layers=1,
    heads=1,
    feed_forward=64,
    refine_skips=False,
    ball_query=False,
    dropout=0.0,
)
# The shipped network's branches, and stages narrow enough that dense fusion can be trained on a CPU too.
PROBE: Final = dataclasses.replace(PRESETS["lite"], tokens=48, layers=1, heads=1, feed_forward=96)
# At how many stages the paper's Table 5 takes the parts out is not known to us. With one, no second makes up for them.
PART_STAGES: Final = 1
NARROW: Final = {"probe": PROBE, "tiny": TINY}
FULL: Final = "stages-1"
SWITCHES: Final = {
    "heatmap_weights": "no heat-map weight map",
    "geometry_adjacency": "no geometry adjacency map",
    "point_features": "no point-cloud feature",
    "projected_rgb": "no projected RGB",
    "refinement": "no refinement",
}


@dataclass(frozen=True)
class Row:
    """One network to train and measure.

    Attributes:
        key: names its folder.
        title: as the tables call it.
        config: of the network.
        color: it sees the colour picture; without, training and test hide it.
    """

    key: str
    title: str
    config: KeypointFusionConfig
    color: bool = True


def rows(size: str) -> tuple[Row, ...]:
    """All rows at a size ("probe", "tiny", or one of the network's own), in the order in which they are worth having.

    Raises:
        ValueError: an unknown size.
    """
    plain = base(size)
    one = dataclasses.replace(plain, stages=PART_STAGES)
    parts = [
        Row(
            f"without-{name}",
            title,
            dataclasses.replace(one, parts=dataclasses.replace(FusionParts(), **{name: False})),
        )
        for name, title in SWITCHES.items()
    ]
    return (
        Row("stages-0", "depth only", dataclasses.replace(plain, stages=0)),
        Row(FULL, "1 stage", one),
        *parts,
        Row("stages-2", "2 stages", dataclasses.replace(plain, stages=2)),
        Row("stages-1-no-color", "1 stage, colour hidden", one, color=False),
        Row("stages-3", "3 stages", dataclasses.replace(plain, stages=3)),
        Row("dense-1", "dense fusion, 1 stage", dataclasses.replace(one, fusion="dense")),
    )


def base(size: str) -> KeypointFusionConfig:
    """The network of a size, otherwise at its defaults.

    Raises:
        ValueError: an unknown size.
    """
    if size in NARROW:
        return KeypointFusionConfig(widths=NARROW[size])
    if size in PRESETS:
        return KeypointFusionConfig(size=size)  # type: ignore[arg-type]
    raise ValueError(f"--size: expected one of {', '.join((*NARROW, *PRESETS))}, got {size!r}")
