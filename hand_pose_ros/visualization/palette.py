"""The colours of fingers and sides, the same in overlays and RViz markers. RGB 0..255."""

from __future__ import annotations

from typing import Final

from hand_pose_ros.skeleton import FINGERS, NUM_JOINTS, Side

Color = tuple[int, int, int]

# Okabe and Ito's palette keeps apart under the common forms of colour blindness.
FINGER_COLORS: Final[dict[str, Color]] = {
    "thumb": (230, 90, 0),
    "index": (240, 228, 66),
    "middle": (0, 190, 120),
    "ring": (86, 180, 233),
    "little": (214, 110, 190),
}
WRIST_COLOR: Final[Color] = (245, 245, 245)
SIDE_COLORS: Final[dict[Side, Color]] = {Side.LEFT: (255, 170, 90), Side.RIGHT: (120, 190, 255)}
INVALID_COLOR: Final[Color] = (130, 130, 130)

# Colour of each of the 21 joints, and of the bone that ends in it.
JOINT_COLORS: Final[tuple[Color, ...]] = (
    WRIST_COLOR,
    *(FINGER_COLORS[FINGERS[(joint - 1) // 4]] for joint in range(1, NUM_JOINTS)),
)
