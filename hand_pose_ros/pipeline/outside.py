"""Hands told from outside: boxes of another detector, and a fixed region of interest.

    finder = OutsideFinder(config, inner)             # inner: the network, MediaPipe, or None (boxes alone)
    finder.suggest([HandBox(x, y, width, height)], stamp_ns)
    finder.find(frame, known, dropped)                # what `hand_pose_ros.pipeline.following.Finder` promises

`suggest` may be called from any thread, for instance by a subscriber of `vision_msgs/Detection2DArray` through
`Pipeline.suggest`. Boxes are in pixels of the frames' own image (as the camera gives it), with integer coordinates at
pixel centres; `HandBox.around` takes a middle and a size, as vision_msgs has it. A set of boxes replaces the one
before; it holds for frames whose stamps differ by at most `finder.box_age` seconds from its own, since a detector is
late.

A box says where to look closely, not that a hand is followed there: the pose network still refuses what is no hand.
Boxes come before what the finder finds by itself. `finder.roi` is a part of the image outside of which nothing is
looked for; with `finder.model: boxes` it is itself the box, in every frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.geometry.camera import back_project, project
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.finder import SPARE_CANDIDATES, suppress
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoundingBox, FloatArray, Frame, HandDetection, Intrinsics

if TYPE_CHECKING:
    from hand_pose_ros.pipeline.following import Finder

# Name of `finder.model` that looks for nothing by itself.
BOXES: Final = "boxes"
# Longer edge of the box around a hand's joints (m), between a fist's 0.09 and a spread hand's 0.2.
HAND_SPAN: Final = 0.15
# The hand's surface is what is near in the middle of its box; joints lie this much deeper (m).
_NEAR_SHARE: Final = 0.3
_SKIN_DEPTH: Final = 0.01
# A smaller region shows nothing (pixels).
_MIN_REGION: Final = 16


@dataclass(frozen=True)
class HandBox:
    """A hand another detector saw: left, top, width and height in pixels; its side if known; a score 0..1."""

    x: float
    y: float
    width: float
    height: float
    side: Side | None = None
    score: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite([self.x, self.y, self.width, self.height]).all() or min(self.width, self.height) <= 0:
            raise ValueError(
                f"box: expected finite numbers and a positive size, got x={self.x} y={self.y} width={self.width} "
                f"height={self.height}"
            )

    @classmethod
    def around(
        cls, u: float, v: float, width: float, height: float, side: Side | None = None, score: float = 1.0
    ) -> HandBox:
        """The box with its middle at pixel (u, v)."""
        return cls(u - width / 2, v - height / 2, width, height, side, score)


class OutsideFinder:
    """Boxes from outside first, then what another finder sees in the region of interest.

    Args:
        config: `finder.roi`, `finder.box_age`, depth limits.
        inner: finds hands in frames, or None where all hands are told from outside.

    Raises:
        ConfigError: `finder.roi` is no region.
    """

    def __init__(self, config: PipelineConfig, inner: Finder | None) -> None:
        self.inner = inner
        self.config = config
        self._told: tuple[int, tuple[HandBox, ...]] = (0, ())

    @property
    def config(self) -> PipelineConfig:
        """The configuration in force; setting it sets the inner finder's as well."""
        return self._config

    @config.setter
    def config(self, config: PipelineConfig) -> None:
        self._roi = parse_region(config.finder.roi)
        self._config = config
        if self.inner is not None:
            self.inner.config = config

    @property
    def engine(self) -> Any:
        """What runs the inner finder's network, or None."""
        return getattr(self.inner, "engine", None)

    def suggest(self, boxes: Sequence[HandBox], stamp_ns: int) -> None:
        """Take `boxes`, seen in the image of this stamp, in place of those before."""
        self._told = (stamp_ns, tuple(boxes))

    def find(
        self, frame: Frame, known: Sequence[HandDetection] = (), dropped: Counter[str] | None = None
    ) -> list[HandDetection]:
        """See `hand_pose_ros.pipeline.finder.HandFinder.find`."""
        region = region_pixels(self._roi, frame.intrinsics) if self._roi else None
        stamp_ns, boxes = self._told
        fresh = abs(frame.stamp_ns - stamp_ns) <= self._config.finder.box_age * 1e9
        chosen = list(boxes) if fresh else []
        if self.inner is None and region is not None:
            chosen.append(HandBox(*region))
        limits = (self._config.min_depth, self._config.max_depth)
        told = sorted((detection_of(box, frame, limits) for box in chosen), key=lambda hand: -hand.score)
        if self.inner is not None:
            seen = frame if region is None else cut(frame, *region)
            told += self.inner.find(seen, list(known), dropped if dropped is not None else Counter())
        hands = suppress(told, self._config.tracking.min_separation, known)
        return hands[: self._config.max_hands + SPARE_CANDIDATES]


def detection_of(box: HandBox, frame: Frame, limits: tuple[float, float]) -> HandDetection:
    """The place of the hand in a box: as far as the near surface in its middle, or as its size says.

    Args:
        box: in pixels of the frame.
        frame: with or without depth.
        limits: readings (m) nearer or farther than these do not count.
    """
    camera = frame.intrinsics
    z = HAND_SPAN * camera.fx / max(box.width, box.height)
    if frame.depth is not None:
        u, v = box.x + box.width / 4, box.y + box.height / 4
        rows = slice(max(round(v), 0), max(round(v + box.height / 2), 0) + 1)
        columns = slice(max(round(u), 0), max(round(u + box.width / 2), 0) + 1)
        readings = frame.depth[rows, columns]
        readings = readings[(readings > limits[0]) & (readings < limits[1])]
        if readings.size:
            z = float(np.quantile(readings, _NEAR_SHARE)) + _SKIN_DEPTH
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    center = back_project(middle, np.asarray(z), camera).astype(np.float32)
    # An unknown side is an open one: the pose network decides.
    side, sure = (Side.RIGHT, 0.5) if box.side is None else (box.side, 1.0)
    return HandDetection(side, center, min(1.0, max(0.0, box.score)), sure)


def box_of(center: FloatArray, camera: Intrinsics, span: float = HAND_SPAN) -> BoundingBox:
    """The box of a hand found at `center` (3,): `span` metres wide and high at its distance, in pixels."""
    u, v = project(np.asarray(center, dtype=np.float64)[None], camera)[0]
    width, height = span * camera.fx / float(center[2]), span * camera.fy / float(center[2])
    return BoundingBox(float(u) - width / 2, float(v) - height / 2, width, height)


def parse_region(text: str) -> tuple[float, float, float, float] | None:
    """ "x, y, width, height" as numbers, None for empty text.

    Raises:
        ConfigError: not four numbers, or no area.
    """
    if not text.strip():
        return None
    parts = text.replace(",", " ").split()
    try:
        x, y, width, height = (float(part) for part in parts)
    except ValueError as error:
        raise ConfigError(
            f'finder.roi: expected "x, y, width, height" in pixels or in parts of the image, got {text!r}'
        ) from error
    if not np.isfinite([x, y, width, height]).all() or min(x, y) < 0 or min(width, height) <= 0:
        raise ConfigError(f"finder.roi: expected x and y from 0 and a positive size, got {text!r}")
    return x, y, width, height


def region_pixels(region: tuple[float, float, float, float], camera: Intrinsics) -> tuple[int, int, int, int]:
    """The part (left, top, width, height) of the image that a region covers; up to 1.0 its numbers are parts.

    Raises:
        ConfigError: it lies (nearly) outside of the image.
    """
    x, y, width, height = region
    if max(region) <= 1.0:
        x, y, width, height = x * camera.width, y * camera.height, width * camera.width, height * camera.height
    left, top = round(x), round(y)
    right, bottom = min(round(x + width), camera.width), min(round(y + height), camera.height)
    if right - left < _MIN_REGION or bottom - top < _MIN_REGION:
        raise ConfigError(
            f"finder.roi: expected at least {_MIN_REGION} pixels each way in the image of {camera.width}x"
            f"{camera.height}, got {region}"
        )
    return left, top, right - left, bottom - top


def cut(frame: Frame, left: int, top: int, width: int, height: int) -> Frame:
    """A part of a frame, as a camera of its own; points in camera metres stay what they are."""
    camera = replace(
        frame.intrinsics,
        cx=frame.intrinsics.cx - left,
        cy=frame.intrinsics.cy - top,
        width=width,
        height=height,
    )
    part = (slice(top, top + height), slice(left, left + width))
    color = None if frame.color is None else frame.color[part]
    depth = None if frame.depth is None else frame.depth[part]
    return replace(frame, intrinsics=camera, color=color, depth=depth)
