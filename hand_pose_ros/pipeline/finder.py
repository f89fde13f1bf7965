"""The hand finder: where hands are in the whole image, which side, and how far.

The network sees the whole frame resized to 160x120 (letterboxed when the aspect differs) and says for each cell of a
40x30 grid how likely a right and a left hand's centre lies there, and where that centre is in camera metres.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Engine, TensorSpec, require_contract
from hand_pose_ros.geometry.camera import scale_intrinsics
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, HandDetection, Intrinsics

WIDTH: Final = 160
HEIGHT: Final = 120
CHANNEL_SIDES: Final = (Side.RIGHT, Side.LEFT)
# Two peaks of the same side this close (m) are one hand: its neighbouring cells name nearly the same centre.
SAME_SIDE_DISTANCE: Final = 0.10
# Places beyond `max_hands` that are worth a closer look.
SPARE_CANDIDATES: Final = 2

_FLOAT, _BYTE = np.dtype(np.float32), np.dtype(np.uint8)
INPUTS: Final = (
    TensorSpec("rgb", (1, HEIGHT, WIDTH, 3), _BYTE),
    TensorSpec("depth", (1, HEIGHT, WIDTH), _FLOAT),
    TensorSpec("intrinsics", (1, 4), _FLOAT),
)
OUTPUTS: Final = (
    TensorSpec("heatmap", (1, 2, HEIGHT // 4, WIDTH // 4), _FLOAT),
    TensorSpec("center", (1, 2, 3, HEIGHT // 4, WIDTH // 4), _FLOAT),
)

# Pixels of the finder's picture about a hand found on colour alone in which its distance is looked up, and how deep a
# hand's centre lies under its skin (m).
SURFACE_WINDOW: Final = 5
HALF_PALM: Final = 0.015


class HandFinder:
    """Finds hands in a whole frame.

    Args:
        engine: runs the finder network.
        config: limits and thresholds.

    Raises:
        EngineError: the network does not have the finder's inputs and outputs.
    """

    def __init__(self, engine: Engine, config: PipelineConfig) -> None:
        require_contract(engine, "hand finder", INPUTS, OUTPUTS)
        self.engine = engine
        self.config = config
        self._rgb = np.zeros((1, HEIGHT, WIDTH, 3), dtype=np.uint8)
        self._depth = np.zeros((1, HEIGHT, WIDTH), dtype=np.float32)
        self._intrinsics = np.zeros((1, 4), dtype=np.float32)

    def find(
        self, frame: Frame, known: Sequence[HandDetection] = (), dropped: Counter[str] | None = None
    ) -> list[HandDetection]:
        """Where hands may be in a frame, best first, `max_hands` and a few to spare: the pose network, which sees them
        larger, refuses some and settles their sides.

        Args:
            frame: with depth; colour helps where it is there.
            known: hands that are followed already and must not be found again.
            dropped: counts peaks whose centre is no usable place, under "non_finite".
        """
        self._fill(frame)
        peaks = self._peaks(dropped)
        if not peaks and not known and frame.color is not None and frame.depth is not None:
            peaks = self._by_color(dropped)
        hands = suppress(peaks, self.config.tracking.min_separation, known)
        return hands[: self.config.max_hands + SPARE_CANDIDATES]

    def _peaks(self, dropped: Counter[str] | None) -> list[HandDetection]:
        outputs = self.engine.run({"rgb": self._rgb, "depth": self._depth, "intrinsics": self._intrinsics})
        peaks, unusable = find_peaks(outputs["heatmap"][0], outputs["center"][0], self.config.finder.threshold)
        if dropped is not None:
            dropped["non_finite"] += unusable
        return peaks

    def _by_color(self, dropped: Counter[str] | None) -> list[HandDetection]:
        """A second look, on colour alone, when both together show nothing: a thing in the hand may change its relief
        beyond recognition. The depth then says how far away what was found is."""
        depth = self._depth[0].copy()
        self._depth.fill(0)
        placed = (onto_surface(hand, depth, self._intrinsics[0]) for hand in self._peaks(dropped))
        return [hand for hand in placed if hand is not None]

    def _fill(self, frame: Frame) -> None:
        size = (frame.intrinsics.height, frame.intrinsics.width)
        top, left, height, width = letterbox(*size)
        window = (0, slice(top, top + height), slice(left, left + width))
        if (height, width) != (HEIGHT, WIDTH):
            self._rgb.fill(0)
            self._depth.fill(0)
        if frame.color is None:
            self._rgb.fill(0)
        else:
            self._rgb[window] = cv2.resize(frame.color, (width, height), interpolation=cv2.INTER_AREA)
        if frame.depth is None:
            self._depth.fill(0)
        else:
            # The nearest pixel, because mixing depths invents surfaces.
            depth = cv2.resize(frame.depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            depth[(depth < self.config.min_depth) | (depth > self.config.max_depth)] = 0
            self._depth[window] = depth
        self._intrinsics[0] = finder_intrinsics(frame.intrinsics)


def letterbox(height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the resized frame, centred in the finder's 160x120 picture."""
    scale = min(WIDTH / width, HEIGHT / height)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    return (HEIGHT - new_height) // 2, (WIDTH - new_width) // 2, new_height, new_width


def finder_intrinsics(camera: Intrinsics) -> FloatArray:
    """fx, fy, cx, cy (4,) of the finder's 160x120 picture."""
    top, left, height, width = letterbox(camera.height, camera.width)
    scaled = scale_intrinsics(camera, width, height)
    return np.array([scaled.fx, scaled.fy, scaled.cx + left, scaled.cy + top], dtype=np.float32)


def find_peaks(heatmap: FloatArray, center: FloatArray, threshold: float) -> tuple[list[HandDetection], int]:
    """Local maxima of both heat maps' sum (2, H, W) from `threshold` on, with their centres from (2, 3, H, W).

    The sum, because a small picture often shows that there is a hand without showing whose side; the side is the
    stronger map's and its share the detection's `side_score`.

    Returns:
        The peaks, best first, and how many were left out because their centre is not finite or not in front of the
        camera.
    """
    total = heatmap.sum(axis=0)
    # Not `>`: NaN must not count. The dilation is the maximum of the 3x3 neighbourhood.
    peaks = (total >= threshold) & (total >= cv2.dilate(total, np.ones((3, 3), np.uint8)))
    found: list[HandDetection] = []
    unusable = 0
    for row, column in np.argwhere(peaks):
        share = heatmap[:, row, column] / total[row, column]
        # Where the side is open, so is which of the two centres was meant.
        point = (share @ center[:, :, row, column]).astype(np.float32)
        if np.isfinite(point).all() and point[2] > 0:
            best = int(share.argmax())
            score = min(1.0, float(total[row, column]))
            found.append(HandDetection(CHANNEL_SIDES[best], point, score, float(share[best])))
        else:
            unusable += 1
    return sorted(found, key=lambda hand: -hand.score), unusable


def onto_surface(hand: HandDetection, depth: FloatArray, intrinsics: FloatArray) -> HandDetection | None:
    """A detection whose distance is a guess, moved along its ray to the surface there; None where there is none.

    Args:
        hand: found on colour alone.
        depth: (H, W) metres, 0 = no reading.
        intrinsics: (4,) fx, fy, cx, cy of `depth`.
    """
    fx, fy, cx, cy = intrinsics
    x, y, z = hand.center
    column, row = round(float(fx * x / z + cx)), round(float(fy * y / z + cy))
    reach = SURFACE_WINDOW // 2
    window = depth[max(0, row - reach) : max(0, row + reach + 1), max(0, column - reach) : max(0, column + reach + 1)]
    readings = np.sort(window[window > 0])
    if not len(readings):
        return None
    # The nearer ones: between fingers the background shows.
    scale = np.float32((readings[len(readings) // 3] + HALF_PALM) / z)
    return dataclasses.replace(hand, center=hand.center * scale)


def suppress(
    hands: Sequence[HandDetection], min_separation: float, known: Sequence[HandDetection] = ()
) -> list[HandDetection]:
    """Keep the strongest of hands (sorted, best first) that are at one place, and none where there is a known one.

    The same place is `min_separation` metres for different sides (a hand taken for both) and `SAME_SIDE_DISTANCE` for
    equal ones.
    """
    kept: list[HandDetection] = []
    for hand in hands:
        if not any(_same_place(hand, other, min_separation) for other in (*known, *kept)):
            kept.append(hand)
    return kept


def _same_place(a: HandDetection, b: HandDetection, min_separation: float) -> bool:
    limit = SAME_SIDE_DISTANCE if a.side is b.side else min_separation
    return float(np.linalg.norm(a.center - b.center)) < limit
