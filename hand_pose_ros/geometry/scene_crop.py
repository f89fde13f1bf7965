"""Square windows of the colour image that hold one hand or two: what the networks of two hands see.

A window of side s pixels about (x, y) is the whole crop: crop = (image - (x, y)) * size / s + (size - 1) / 2, so that
the outer edges of the pixels lie on each other (integer pixels are pixel centres).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.geometry.relief import RELIEF_MAPS, relief, view_of
from hand_pose_ros.types import ByteArray, DoubleArray, FloatArray

# Keypoint Transformer's loaders widen the box of what is to be seen by this factor.
WINDOW_MARGIN: Final = 1.25
# The crop of one hand that is followed: most of the closer look's window, which is turned with the hand, is in it.
FOLLOWED_MARGIN: Final = 1.8
# A smaller window shows nothing that a network could use.
MIN_SIDE: Final = 8.0


@dataclass(frozen=True)
class Window:
    """A square of the image: middle (x, y) and side in pixels; it may reach beyond the image."""

    x: float
    y: float
    side: float

    def matrix(self, size: int) -> DoubleArray:
        """The affine map (3, 3) image pixel -> pixel of a crop of `size` x `size`."""
        scale = size / self.side
        half = (size - 1) / 2
        return np.array([[scale, 0.0, half - scale * self.x], [0.0, scale, half - scale * self.y], [0.0, 0.0, 1.0]])

    def to_image(self, uv: DoubleArray, size: int) -> DoubleArray:
        """Crop pixels (..., 2) as image pixels."""
        middle = np.array([self.x, self.y])
        return np.asarray((uv - (size - 1) / 2) * (self.side / size) + middle)

    def to_crop(self, pixels: DoubleArray, size: int) -> DoubleArray:
        """Image pixels (..., 2) as crop pixels."""
        middle = np.array([self.x, self.y])
        return np.asarray((pixels - middle) * (size / self.side) + (size - 1) / 2)

    def share_inside(self, pixels: DoubleArray) -> float:
        """Which part of image pixels (N, 2) lies in the window."""
        inside = np.abs(pixels - (self.x, self.y)) <= self.side / 2
        return float(inside.all(axis=1).mean())

    def cut(self, image: ByteArray, out: ByteArray) -> None:
        """Sample the window bilinearly into `out` (size, size, 3); outside the image it is 0."""
        size = out.shape[0]
        cv2.warpAffine(
            image,
            self.matrix(size)[:2],
            (size, size),
            dst=out,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )


class SceneCutter:
    """What networks of two hands take, cut into arrays that are used again: valid until the next cut.

    Args:
        size: of the crops in pixels.
        taken: names of the inputs; others are not made.
    """

    def __init__(self, size: int, taken: Collection[str] = ("rgb",)) -> None:
        self._rgb = np.zeros((1, size, size, 3), dtype=np.uint8)
        self._depth = np.zeros((size, size), dtype=np.float32) if "relief" in taken else None
        self._relief = np.zeros((1, RELIEF_MAPS, size, size), dtype=np.float32)
        self._view = np.zeros((1, 2), dtype=np.float32)
        made: dict[str, NDArray[Any]] = {"rgb": self._rgb, "relief": self._relief, "view": self._view}
        self._given = {name: array for name, array in made.items() if name in taken}

    def cut(
        self, window: Window, color: ByteArray, depth: FloatArray | None = None, focal: float = 0.0
    ) -> dict[str, NDArray[Any]]:
        """The inputs by name: "rgb" (1, size, size, 3) uint8 and, where they are taken, "relief" (1, 2, size, size) and
        "view" (1, 2); see `geometry.relief`.

        Args:
            color: (H, W, 3) RGB.
            depth: (H, W) float32 metres, pixel by pixel with the colour; None: nothing is known of depth.
            focal: length in pixels of the image; needed for the view.
        """
        window.cut(color, self._rgb[0])
        if self._depth is None:
            return self._given
        zero = 0.0
        if depth is None:
            self._relief.fill(0.0)
        else:
            square = (len(self._depth), len(self._depth))
            # The nearest pixel: mixing depths invents surfaces.
            warp = window.matrix(square[0])[:2]
            cv2.warpAffine(depth, warp, square, dst=self._depth, flags=cv2.INTER_NEAREST)
            zero = relief(self._depth, self._relief[0])
        self._view[0] = view_of(focal / window.side, zero)
        return self._given


def window_around(pixels: DoubleArray, margin: float = WINDOW_MARGIN) -> Window:
    """The window of `margin` times the longer edge of the box around pixels (N, 2), about the box's middle.

    Raises:
        ValueError: no pixels, or some are not finite.
    """
    if not len(pixels) or not np.isfinite(pixels).all():
        raise ValueError(f"window: expected finite pixels, got {len(pixels)} of which some are not finite")
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    x, y = (low + high) / 2
    return Window(float(x), float(y), max(MIN_SIDE, margin * float((high - low).max())))
