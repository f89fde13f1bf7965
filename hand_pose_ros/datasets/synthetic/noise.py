"""Ready-made noise: cutting a window out of a large pattern is far faster than drawing numbers and blurring them.

The patterns are the same in every process. A window is chosen by a place in the pattern and a mirroring, so there are
millions of different ones.
"""

from __future__ import annotations

import itertools
from bisect import bisect
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import FloatArray

SIDE: Final = 768
# Standard deviations of the blur, pixels; what is asked for takes the nearest.
SMOOTHNESS: Final = (0.0, 0.4, 0.55, 0.75, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0, 6.0)

_BORDERS: Final = tuple(0.5 * (low + high) for low, high in itertools.pairwise(SMOOTHNESS))


@lru_cache(maxsize=len(SMOOTHNESS))
def _pattern(level: int) -> FloatArray:
    """(SIDE, SIDE) normal noise of standard deviation 1, blurred; periodic in both directions."""
    noise = np.random.default_rng([0xBEEF, level]).standard_normal((SIDE, SIDE), dtype=np.float32)
    sigma = SMOOTHNESS[level]
    if sigma > 0:
        margin = int(4 * sigma) + 1
        blurred = cv2.GaussianBlur(np.pad(noise, margin, mode="wrap"), (0, 0), sigma)
        noise = np.ascontiguousarray(blurred[margin:-margin, margin:-margin])
        noise *= np.float32(1.0 / noise.std())
    noise.setflags(write=False)
    return noise


@lru_cache(maxsize=1)
def _bytes() -> NDArray[np.uint8]:
    noise = np.random.default_rng([0xBEEF, 255]).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    noise.setflags(write=False)
    return noise


class NoiseSource:
    """Noise pictures chosen by one generator; equal generators give equal pictures."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._words = iter(rng.integers(0, 1 << 32, 16).tolist())

    def normal(self, size: tuple[int, int], smooth: float = 0.0) -> FloatArray:
        """(H, W) float32 of standard deviation 1, correlated over `smooth` pixels; not to be written to.

        Raises ValueError for a picture larger than the patterns, RuntimeError after 16 pictures.
        """
        return _pattern(bisect(_BORDERS, smooth))[self._window(size)]

    def uniform(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """(H, W) bytes, all values alike; as `normal`."""
        return _bytes()[self._window(size)]

    def _window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        height, width = size
        if height > SIDE or width > SIDE:
            raise ValueError(f"noise: expected at most {SIDE}x{SIDE} pixels, got {width}x{height}")
        word = next(self._words, None)
        if word is None:
            raise RuntimeError("noise: expected at most 16 pictures of one source; make another one")
        return _span(word & 0xFFFF, height), _span(word >> 16, width)


def _span(word: int, length: int) -> slice:
    """`length` places of a pattern, forwards or backwards."""
    start = (word >> 1) % (SIDE - length + 1)
    if word & 1 == 0:
        return slice(start, start + length)
    return slice(start + length - 1, start - 1 if start > 0 else None, -1)
