"""How whole frames are varied for the hand finder: another camera, other proportions, another room, a missing sense."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.types import BoolArray, ByteArray, FloatArray


@dataclass(frozen=True)
class FinderAugmentation:
    """How frames are varied. Probabilities are per frame; gains and zooms are factors, shifts parts of the picture's
    size, turns radians about the optical axis. Zoom, shift and turn are what another camera would see, so that the
    intrinsics and centres change with them and the depth stays exact.

    Attributes:
        wide: probability of bars above and below, as the finder puts round a 16:9 picture.
        room: probability that what lies well behind the hands, or has no reading, gets other colours.
        no_color, no_depth: probabilities of a missing sense; never both are missing.
        pale: probability of a picture with any part of its colour taken away: red things are not hands.
        color_gain, brightness, gamma: spreads of the gain per channel, of the common gain and of the logarithm of the
            exponent of the grey levels.
        noisy, noise: probability of noise in the colours, and its largest standard deviation, of 255 grey levels.
    """

    flip: float = 0.5
    zoom: tuple[float, float] = (0.62, 1.4)
    shift: float = 0.15
    turn_std: float = 0.2
    wide: float = 0.35
    room: float = 0.35
    no_color: float = 0.3
    no_depth: float = 0.25
    pale: float = 0.35
    color_gain: float = 0.2
    brightness: float = 0.3
    gamma: float = 0.2
    noisy: float = 0.3
    noise: float = 8.0


@dataclass(frozen=True)
class FrameArrays:
    """A batch of frames that is varied in place: color (B, H, W, 3) uint8, depth (B, H, W) m, intrinsics (B, 4),
    centers (B, 2, 3) m, present (B, 2) bool, visible (B, 2) share of the joints that are seen; right before left."""

    color: ByteArray
    depth: FloatArray
    intrinsics: FloatArray
    centers: FloatArray
    present: BoolArray
    visible: FloatArray


def augment(frames: FrameArrays, rng: np.random.Generator, augmentation: FinderAugmentation) -> None:
    """Vary a batch in place."""
    count, height, width = frames.depth.shape
    # A few pictures serve a batch; each frame takes another part of one.
    rooms = [clutter(rng, 2 * height, 2 * width) for _ in range(2)] if augmentation.room > 0 else []
    for n in range(count):
        _move_camera(frames, n, rng, augmentation)
        if rng.random() < augmentation.room:
            _other_room(frames, n, rng, rooms[int(rng.integers(len(rooms)))])
        if rng.random() < augmentation.wide:
            _wide(frames, n)
        _vary_color(frames.color[n], rng, augmentation)
    _flip(frames, np.less(rng.random(count), augmentation.flip))
    lot = rng.random(count)
    frames.color[lot < augmentation.no_color] = 0
    frames.depth[lot > 1 - augmentation.no_depth] = 0


def _move_camera(frames: FrameArrays, n: int, rng: np.random.Generator, augmentation: FinderAugmentation) -> None:
    """Zoom, shift and turn a frame's camera."""
    height, width = frames.depth.shape[1:]
    size = np.array([width, height])
    zoom = rng.uniform(*augmentation.zoom)
    shift = rng.uniform(-augmentation.shift, augmentation.shift, 2) * size
    c, s = np.cos(angle := rng.normal() * augmentation.turn_std), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    fx, fy, cx, cy = frames.intrinsics[n].astype(np.float64)
    before = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    # About the picture's middle, so that zooming does not push it out of view.
    middle = (size - 1) / 2
    new_cx, new_cy = middle + zoom * (np.array([cx, cy]) - middle) + shift
    after = np.array([[zoom * fx, 0.0, new_cx], [0.0, zoom * fy, new_cy], [0.0, 0.0, 1.0]])
    warp = (after @ turn @ np.linalg.inv(before))[:2]
    frames.color[n] = cv2.warpAffine(frames.color[n], warp, (width, height), flags=cv2.INTER_LINEAR)
    frames.depth[n] = cv2.warpAffine(frames.depth[n], warp, (width, height), flags=cv2.INTER_NEAREST)
    frames.intrinsics[n] = zoom * fx, zoom * fy, new_cx, new_cy
    frames.centers[n] = frames.centers[n] @ turn.T


def _other_room(frames: FrameArrays, n: int, rng: np.random.Generator, room: ByteArray) -> None:
    """Other colours behind the hands and where nothing was measured, but not in the holes of a hand's depth."""
    depth = frames.depth[n]
    hands = frames.centers[n][frames.present[n]]
    nearest = float(hands[:, 2].max()) if len(hands) else float(rng.uniform(0.5, 1.2))
    behind = depth > nearest + rng.uniform(0.15, 0.7)
    empty = (depth == 0).astype(np.uint8)
    fx, fy, cx, cy = frames.intrinsics[n]
    for x, y, z in hands:
        middle = (round(float(x / z * fx + cx)), round(float(y / z * fy + cy)))
        cv2.circle(empty, middle, round(float(0.12 * fx / z)), 0, -1)
    height, width = depth.shape
    top, left = int(rng.integers(room.shape[0] - height)), int(rng.integers(room.shape[1] - width))
    part = room[top : top + height, left : left + width]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    frames.color[n] = np.where((behind | (empty > 0))[..., None], part, frames.color[n])


def clutter(rng: np.random.Generator, height: int, width: int) -> ByteArray:
    """A picture (H, W, 3) uint8 of boxes, bars and blobs in the colours of rooms and of skin, sharp or blurred."""
    light = rng.uniform(0.2, 1.0)
    picture = np.full((height, width, 3), rng.integers(0, 256, 3) * light, dtype=np.uint8)
    for _ in range(int(rng.integers(10, 120))):
        grey = rng.uniform(0.0, 255.0)
        # From grey to fully coloured; now and then the hue of skin and wood.
        hue = np.array([1.0, 0.72, 0.55]) if rng.random() < 0.2 else rng.uniform(0.2, 1.6, 3)
        mixed = grey * (1.0 + rng.uniform(0.0, 1.0) * (hue - 1.0)) * light
        color = tuple(float(value) for value in np.clip(mixed, 0, 255))
        middle = (int(rng.integers(width)), int(rng.integers(height)))
        long, short = np.exp(rng.uniform(0.0, np.log(width / 4))), np.exp(rng.uniform(0.0, np.log(height / 8)))
        turn = float(rng.choice([0.0, 90.0, rng.uniform(0.0, 180.0)]))
        if rng.random() < 0.6:
            corners = cv2.boxPoints((middle, (float(long), float(short)), turn))
            cv2.fillConvexPoly(picture, np.rint(corners).astype(np.int32), color)
        else:
            cv2.ellipse(picture, middle, (max(round(long / 2), 1), max(round(short / 2), 1)), turn, 0, 360, color, -1)
    blur = float(rng.uniform(0.0, 1.5))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.3 else picture, dtype=np.uint8)


def _wide(frames: FrameArrays, n: int) -> None:
    """Only the middle 160x90 of 160x120 is the camera's picture."""
    height, width = frames.depth.shape[1:]
    bar = (height - width * 9 // 16) // 2
    for rows in (slice(0, bar), slice(height - bar, height)):
        frames.color[n, rows] = 0
        frames.depth[n, rows] = 0
    _, fy, _, cy = frames.intrinsics[n]
    rows = frames.centers[n, :, 1] / np.maximum(frames.centers[n, :, 2], 1e-3) * fy + cy
    frames.visible[n] *= (rows > bar) & (rows < height - bar)


def _vary_color(picture: ByteArray, rng: np.random.Generator, augmentation: FinderAugmentation) -> None:
    if rng.random() < augmentation.pale:
        left = rng.random()
        mixing = left * np.eye(3) + (1 - left) / 3
        picture[:] = cv2.transform(picture, mixing)
    gains = rng.uniform(1 - augmentation.color_gain, 1 + augmentation.color_gain, 3)
    gains = gains * np.exp(rng.normal() * augmentation.brightness)
    power = np.exp(rng.normal() * augmentation.gamma)
    levels = 255.0 * (np.arange(256) / 255.0) ** power
    table = np.clip(levels[:, None] * gains, 0, 255).astype(np.uint8)
    picture[:] = cv2.LUT(picture, table[None])
    if rng.random() < augmentation.noisy:
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, augmentation.noise))
        picture[:] = np.clip(picture + noise, 0, 255)


def _flip(frames: FrameArrays, flip: BoolArray) -> None:
    """Mirror the chosen frames: right hands become left ones."""
    frames.color[flip] = frames.color[flip][:, :, ::-1]
    frames.depth[flip] = frames.depth[flip][:, :, ::-1]
    frames.intrinsics[flip, 2] = frames.depth.shape[2] - 1 - frames.intrinsics[flip, 2]
    frames.centers[flip, :, 0] *= -1
    for array in (frames.centers, frames.present, frames.visible):
        array[flip] = array[flip][:, ::-1]
