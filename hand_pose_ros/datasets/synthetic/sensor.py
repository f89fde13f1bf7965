"""What depth cameras make of an ideal depth image: noise, holes, quantisation, edges.

Three families, each with random parameters: stereo (RealSense D400), structured light (RealSense SR300/SR305) and time
of flight (Azure Kinect). Sources of the magnitudes: Intel's D400 tuning guide (sub-pixel RMS error 0.05 to 0.12 px,
z noise = z^2 * rms / (f B)), Kuznetsova et al. on SR300 (1 to 2 mm at 0.5 m), Toelgyessy et al. 2021 on the Azure
Kinect (1 to 2 mm, mixed pixels at edges).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.noise import NoiseSource
from hand_pose_ros.datasets.synthetic.spec import LOSS_LEVELS
from hand_pose_ros.types import BoolArray, ByteArray, FloatArray, Intrinsics


class SensorKind(str, Enum):
    """Families of depth cameras."""

    IDEAL = "ideal"
    STEREO = "stereo"
    STRUCTURED = "structured"
    TOF = "tof"


@dataclass(frozen=True)
class SensorModel:
    """One depth camera.

    Attributes:
        kind: which family.
        unit: metres of one depth step as delivered (0: not quantised).
        max_range: metres; nothing is measured beyond.
        baseline: metres between the two eyes, or eye and projector; negative: the other way round.
        subpixel: stereo: RMS of the disparity in pixels of the image; others: noise in millimetres at 1 m.
        smooth: pixels over which the noise is correlated.
        ragged: pixels by which outlines are shifted at random.
        flying: share of outline pixels that lie between the surfaces.
        edge_holes: share of outline pixels without a reading.
        speckle: share of the image lost in speckles.
        grazing: slope (tangent) from which a surface gives no reading.
        median: side of the median filter that swallows thin structures (0: none).
        bias: metres added everywhere (a badly calibrated unit).
        absorption: share of the readings lost on the surfaces that send back least.
    """

    kind: SensorKind
    unit: float = 0.001
    max_range: float = 4.0
    baseline: float = 0.05
    subpixel: float = 0.08
    smooth: float = 2.0
    ragged: float = 1.0
    flying: float = 0.1
    edge_holes: float = 0.3
    speckle: float = 0.003
    grazing: float = 6.0
    median: int = 0
    bias: float = 0.0
    absorption: float = 0.0


def sample_sensor(rng: np.random.Generator, kind: str = "random") -> SensorModel:
    """A random depth camera of a family, or of any (45 % stereo, 25 % structured light, 25 % ToF, 5 % ideal)."""
    if kind == "random":
        names = ("stereo", "structured", "tof", "ideal")
        kind = names[int(np.searchsorted((0.45, 0.7, 0.95), rng.random(), side="right"))]
    family = SensorKind(kind)
    if family is SensorKind.IDEAL:
        return SensorModel(family, unit=0.0, max_range=10.0)
    sign = 1.0 if rng.random() < 0.7 else -1.0
    speckle = float(rng.uniform(0.0, 0.02)) if rng.random() < 0.4 else 0.0
    bias = float(rng.normal(0.0, 0.002))
    absorption = float(rng.uniform(0.2, 1.1))
    if family is SensorKind.STEREO:
        return SensorModel(
            family,
            unit=0.001 if rng.random() < 0.9 else 0.0001,
            max_range=float(rng.uniform(1.5, 6.0)),
            baseline=sign * float(rng.uniform(0.03, 0.095)),
            subpixel=float(rng.uniform(0.03, 0.12)),
            smooth=float(rng.uniform(1.0, 4.0)),
            ragged=float(rng.uniform(0.3, 2.5)),
            flying=float(rng.uniform(0.0, 0.35)),
            edge_holes=float(rng.uniform(0.0, 0.4)),
            speckle=speckle,
            grazing=float(rng.uniform(4.0, 12.0)),
            median=int(rng.choice([0, 3, 5])),
            bias=bias,
            absorption=absorption,
        )
    if family is SensorKind.STRUCTURED:
        return SensorModel(
            family,
            unit=0.000125 if rng.random() < 0.7 else 0.001,
            max_range=float(rng.uniform(1.2, 2.0)),
            baseline=sign * float(rng.uniform(0.02, 0.075)),
            subpixel=float(rng.uniform(1.0, 5.0)),
            smooth=float(rng.uniform(0.5, 2.0)),
            ragged=float(rng.uniform(0.2, 1.2)),
            flying=float(rng.uniform(0.0, 0.3)),
            edge_holes=float(rng.uniform(0.0, 0.6)),
            speckle=speckle,
            grazing=float(rng.uniform(3.5, 10.0)),
            bias=bias,
            absorption=absorption,
        )
    return SensorModel(
        family,
        unit=0.001,
        max_range=float(rng.uniform(2.0, 6.0)),
        baseline=0.0,
        subpixel=float(rng.uniform(0.5, 3.0)),
        smooth=float(rng.uniform(0.4, 1.5)),
        ragged=float(rng.uniform(0.0, 1.0)),
        flying=float(rng.uniform(0.1, 0.6)),
        edge_holes=float(rng.uniform(0.0, 0.6)),
        speckle=speckle * 0.3,
        grazing=float(rng.uniform(4.0, 12.0)),
        bias=bias,
        absorption=absorption,
    )


def depth_noise(
    depth: FloatArray,
    rng: np.random.Generator,
    sensor: SensorModel,
    camera: Intrinsics,
    loss: ByteArray | None = None,
) -> FloatArray:
    """What `sensor` delivers for an ideal depth image.

    Args:
        depth: (H, W) float32 metres, 0 = nothing there.
        rng: source of all randomness.
        sensor: the camera's faults.
        camera: intrinsics of this image (its fx turns metres of baseline into pixels of disparity).
        loss: (H, W) uint8, how little light the surfaces send back, 0 to `LOSS_LEVELS` - 1; None: all are good.

    Returns:
        (H, W) float32 metres, 0 = no reading.
    """
    if sensor.kind is SensorKind.IDEAL:
        return depth.copy()
    noise = NoiseSource(rng)
    measured = _ragged_outlines(depth, sensor.ragged, noise) if sensor.ragged > 0 else depth.copy()
    if sensor.median:
        measured = cv2.medianBlur(measured, sensor.median)
    near, far = cv2.erode(measured, _SQUARE), cv2.dilate(measured, _SQUARE)
    edge = (far - near) > np.maximum(np.float32(0.015), np.float32(0.03) * far)
    _mix_edges(measured, far, edge, sensor, noise)
    _add_noise(measured, sensor, camera, noise)
    lost = _lost(depth, edge, sensor, camera, noise)
    if loss is not None:
        lost |= _absorbed(loss, sensor, noise)
    if sensor.baseline:
        lost |= _shadow(depth, sensor.baseline * camera.fx)
    lost |= (measured <= 0.05) | (measured > sensor.max_range)
    lost |= depth <= 0
    if sensor.unit > 0:
        measured *= np.float32(1.0 / sensor.unit)
        np.rint(measured, out=measured)
        measured *= np.float32(sensor.unit)
    measured[lost] = 0.0
    return measured


_QUANTILES = 512
_SQUARE = np.ones((3, 3), dtype=np.uint8)


def _shadow(depth: FloatArray, baseline_px: float) -> BoolArray:
    """Pixels that the second eye (or the projector), `baseline_px` = f B to the right (negative: left), cannot see.

    In a row, a point at column u is seen by the other eye at u - fB / z; it is hidden when a nearer point, further
    along the row, falls on the same place or before it.
    """
    # Columns of the picture as rows: neighbours in the picture's rows are then whole rows apart, which is fast.
    image = cv2.transpose(cv2.flip(depth, 1) if baseline_px < 0 else depth)
    place = np.maximum(image, np.float32(1e-3))
    np.divide(np.float32(-abs(baseline_px)), place, out=place)
    place[image <= 0] = 0.0
    place += np.arange(len(image), dtype=np.float32)[:, None]
    # The smallest of each place and all after it, in steps of doubling reach.
    first, reach = place.copy(), 1
    while reach < len(image):
        np.minimum(first[:-reach], first[reach:], out=first[:-reach])
        reach *= 2
    hidden = np.zeros(image.shape, dtype=np.uint8)
    # One pixel of slack: slanted surfaces are not shadows.
    np.less(first[1:], place[:-1] - np.float32(1.0), out=hidden[:-1].view(bool))
    upright = cv2.transpose(hidden)
    return np.asarray(cv2.flip(upright, 1) if baseline_px < 0 else upright).view(bool)


def _ragged_outlines(depth: FloatArray, pixels: float, noise: NoiseSource) -> FloatArray:
    """Shift each pixel's source by smooth noise of `pixels`: surfaces hardly change, outlines get frayed."""
    height, width = depth.shape
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    shift = np.float32(pixels)
    map_x = columns + shift * noise.normal((height, width), 3.0)
    map_y = rows + shift * noise.normal((height, width), 3.0)
    return np.asarray(cv2.remap(depth, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))


def _mix_edges(measured: FloatArray, far: FloatArray, edge: BoolArray, sensor: SensorModel, noise: NoiseSource) -> None:
    """Flying pixels: some outline pixels get a depth between the two surfaces."""
    height, width = measured.shape
    # With nothing behind there is nothing to mix.
    chosen = edge & (noise.uniform((height, width)) < sensor.flying * 255) & (measured > 0)
    places = np.flatnonzero(chosen)
    weight = noise.uniform((height, width)).reshape(-1)[places] * np.float32(1.0 / 255.0)
    flat = measured.reshape(-1)
    own = flat[places]
    # Mixtures lean towards one of the surfaces.
    flat[places] = own + weight * weight * (far.reshape(-1)[places] - own)


def _add_noise(measured: FloatArray, sensor: SensorModel, camera: Intrinsics, noise: NoiseSource) -> None:
    """Noise along z, in place."""
    height, width = measured.shape
    fine = noise.normal((height, width), sensor.smooth)
    if sensor.kind is SensorKind.STEREO:
        # dz = z^2 / (f B) * d(disparity); the matcher's steps are 1/32 px.
        scale = np.float32(1.0 / 32.0 / (camera.fx * abs(sensor.baseline)))
        step = np.rint(fine * np.float32(sensor.subpixel * 32.0))
        step *= scale
        step *= measured
        step *= measured
        measured += step
    else:
        both = fine + noise.normal((height, width), 6.0) * np.float32(0.5)
        sigma = np.float32(sensor.subpixel * 1e-3)
        if sensor.kind is SensorKind.STRUCTURED:
            measured += sigma * (np.float32(0.15) + measured * measured) * both
        else:
            measured += sigma * (np.float32(0.5) + np.float32(0.5) * measured) * both
            _round_corners(measured)
    measured += np.float32(sensor.bias)


def _round_corners(measured: FloatArray) -> None:
    """Multipath of time of flight: light between facing surfaces makes concave places shallower by millimetres."""
    difference = measured - cv2.blur(measured, (9, 9))
    # Only dents of a few centimetres; outlines (large differences) are left alone.
    difference *= (difference > 0) & (difference < np.float32(0.03))
    difference *= np.float32(0.15)
    measured -= difference


def _lost(depth: FloatArray, edge: BoolArray, sensor: SensorModel, camera: Intrinsics, noise: NoiseSource) -> BoolArray:
    """Pixels without a reading: some of the outlines, grazing surfaces, speckles."""
    height, width = depth.shape
    lost = edge & (noise.normal((height, width), 1.5) > np.float32(_quantile(sensor.edge_holes)))
    slope_x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    # One pixel is z / f metres wide, so the slope's tangent is dz/du * f / z.
    limit = depth * np.float32(sensor.grazing / camera.fx)
    lost |= (cv2.magnitude(slope_x, slope_y) > limit) & (noise.uniform((height, width)) < 200)
    if sensor.speckle > 0:
        lost |= noise.normal((height, width), 3.0) > np.float32(_quantile(sensor.speckle))
    return lost


def _absorbed(loss: ByteArray, sensor: SensorModel, noise: NoiseSource) -> BoolArray:
    """Pixels of dark or shiny surfaces that send too little light back, in patches."""
    height, width = loss.shape
    patches = noise.normal((height, width), max(2.0 * sensor.smooth, 1.5))
    if not loss.any():
        return np.zeros(loss.shape, dtype=bool)
    shares = np.minimum(np.arange(LOSS_LEVELS) * (sensor.absorption / (LOSS_LEVELS - 1.0)), 1.0)
    limits = _quantiles()[np.rint(shares * _QUANTILES).astype(np.intp)]
    return np.asarray(patches > limits[loss])


@lru_cache(maxsize=1)
def _quantiles() -> FloatArray:
    """(_QUANTILES + 1,) `_quantile` of shares from 0 to 1."""
    return np.array([_quantile(step / _QUANTILES) for step in range(_QUANTILES + 1)], dtype=np.float32)


def _quantile(share: float) -> float:
    """x such that a standard normal variable exceeds it with probability `share` (Abramowitz and Stegun 26.2.23)."""
    if share <= 0:
        return float("inf")
    if share >= 1:
        return -float("inf")
    tail = min(share, 1.0 - share)
    t = math.sqrt(-2.0 * math.log(max(tail, 1e-9)))
    x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return x if share <= 0.5 else -x
