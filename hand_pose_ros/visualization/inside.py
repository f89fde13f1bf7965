"""What Keypoint Transformer sees: keypoints with the joints they were taken for, and what one joint attends to.

As Figures 7 to 9 of its paper: left every keypoint in the colour of its joint, right the cross-attention of one joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.skeleton import JOINT_NAMES, NUM_JOINTS, Side
from hand_pose_ros.types import ByteArray, DoubleArray, InvalidData
from hand_pose_ros.visualization.overlay import put_text
from hand_pose_ros.visualization.palette import INVALID_COLOR, JOINT_COLORS, SIDE_COLORS, Color

# Side of each of the two pictures.
PANEL: Final = 512
# A joint's strongest keypoints are joined with it by lines, so many of them.
_LINES: Final = 3
_OBJECT_COLOR: Final[Color] = (250, 250, 120)
_BACKGROUND, _LEFT, _OBJECT = 0, 1 + NUM_JOINTS, 1 + 2 * NUM_JOINTS
_SHIFT: Final = 4


@dataclass(frozen=True)
class Inside:
    """One look at a crop of side S, with K keypoints.

    Attributes:
        crop: (S, S, 3) uint8 RGB.
        keypoints: (K, 2) pixels of the crop.
        identities: (K,) what each was taken for: 0 nothing, 1 to 21 the right hand's joints in our order, 22 to 42 the
            left hand's, 43 the object.
        certainty: (K,) 0..1 of that.
        side, joint: whose attention is shown.
        attention: (K,) of that joint to the keypoints; they sum to 1.
        place: (2,) pixels of the crop where the joint was put.

    Raises:
        InvalidData: the shapes do not fit, or a number is not finite.
    """

    crop: ByteArray
    keypoints: DoubleArray
    identities: NDArray[np.int64]
    certainty: DoubleArray
    side: Side
    joint: int
    attention: DoubleArray
    place: DoubleArray

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        shapes = {"keypoints": (count, 2), "identities": (count,), "certainty": (count,), "attention": (count,)}
        for name, shape in {**shapes, "place": (2,)}.items():
            array: NDArray[Any] = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise InvalidData(f"inside {name}: expected finite numbers {shape}, got {array.shape}: {array}")
        if self.crop.ndim != 3 or self.crop.shape[0] != self.crop.shape[1]:
            raise InvalidData(f"inside: expected a square crop, got {self.crop.shape}")


def draw_inside(inside: Inside) -> ByteArray:
    """RGB (512, 1024, 3): identities of the keypoints, and the chosen joint's attention."""
    large = cv2.resize(inside.crop, (PANEL, PANEL), interpolation=cv2.INTER_LINEAR)
    picture = np.asarray(large, dtype=np.uint8)
    return np.hstack([_identities(picture.copy(), inside), _attention(picture, inside)])


def identity_style(identity: int) -> tuple[Color, Color | None]:
    """Fill and ring of a keypoint: the joint's colour in the hand's; no ring for the object; grey for nothing."""
    if identity == _BACKGROUND:
        return INVALID_COLOR, None
    if identity >= _OBJECT:
        return _OBJECT_COLOR, None
    side = Side.LEFT if identity >= _LEFT else Side.RIGHT
    return JOINT_COLORS[(identity - 1) % NUM_JOINTS], SIDE_COLORS[side]


def _places(points: DoubleArray, size: int) -> DoubleArray:
    """Pixels of the crop in the panel."""
    return np.asarray((points + 0.5) * (PANEL / size) - 0.5)


def _identities(panel: ByteArray, inside: Inside) -> ByteArray:
    panel = (panel // 4 * 3).astype(np.uint8)
    for place, identity, sure in zip(
        _places(inside.keypoints, len(inside.crop)), inside.identities, inside.certainty, strict=True
    ):
        fill, ring = identity_style(int(identity))
        if identity == _BACKGROUND:
            _cross(panel, place, 4, fill)
            continue
        # As large as it is sure.
        radius = 4 + 4 * float(sure)
        _disc(panel, place, radius + 2.5, ring or (0, 0, 0))
        _disc(panel, place, radius, fill)
    told = inside.identities[(inside.identities > _BACKGROUND) & (inside.identities < _OBJECT)]
    right, left = int((told < _LEFT).sum()), int((told >= _LEFT).sum())
    objects, rest = int((inside.identities == _OBJECT).sum()), int((inside.identities == _BACKGROUND).sum())
    put_text(panel, f"keypoints: {right} right, {left} left, {objects} object, {rest} none", 6, 6, (255, 255, 255), 0.5)
    put_text(panel, "right hand", 6, PANEL - 50, SIDE_COLORS[Side.RIGHT], 0.45)
    put_text(panel, "left hand", 6, PANEL - 26, SIDE_COLORS[Side.LEFT], 0.45)
    return panel


def _attention(panel: ByteArray, inside: Inside) -> ByteArray:
    panel = (panel // 5 * 2).astype(np.uint8)
    size = len(inside.crop)
    joint = _places(inside.place[None], size)[0]
    places = _places(inside.keypoints, size)
    strongest = float(inside.attention.max()) if len(places) else 1.0
    order = np.argsort(inside.attention)
    for rank, index in enumerate(order[::-1][:_LINES]):
        width = max(1, round(4 * float(inside.attention[index]) / max(strongest, 1e-9)))
        cv2.line(panel, _fixed(joint), _fixed(places[index]), (255, 255, 255), width, cv2.LINE_AA, _SHIFT)
        put_text(panel, f"{inside.attention[index]:.2f}", 6, 34 + 24 * rank, (255, 255, 255), 0.45)
    for index in order:
        share = float(inside.attention[index]) / max(strongest, 1e-9)
        fill, _ = identity_style(int(inside.identities[index]))
        color = tuple(round(channel * (0.25 + 0.75 * share)) for channel in fill)
        _disc(panel, places[index], 3 + 11 * share, (color[0], color[1], color[2]))
    _cross(panel, joint, 9, (255, 255, 255))
    text = f"attention of the {inside.side.value} {JOINT_NAMES[inside.joint]}"
    put_text(panel, text, 6, 6, SIDE_COLORS[inside.side], 0.5)
    return panel


def _fixed(point: DoubleArray) -> tuple[int, int]:
    x, y = np.clip(np.round(point * (1 << _SHIFT)), -(2**24), 2**24)
    return int(x), int(y)


def _disc(panel: ByteArray, place: DoubleArray, radius: float, color: Color) -> None:
    cv2.circle(panel, _fixed(place), round(radius * (1 << _SHIFT)), color, -1, cv2.LINE_AA, _SHIFT)


def _cross(panel: ByteArray, place: DoubleArray, reach: float, color: Color) -> None:
    for step in (np.array([reach, reach]), np.array([reach, -reach])):
        cv2.line(panel, _fixed(place - step), _fixed(place + step), color, 2, cv2.LINE_AA, _SHIFT)
