"""What depth cameras make of an ideal depth image: noise, holes, quantisation, edges.

Three families, each with random parameters: stereo (RealSense D400), structured light (RealSense SR300/SR305) and time
of flight (Azure Kinect). Sources of the magnitudes: Intel's D400 tuning guide (sub-pixel RMS error 0.05 to 0.12 px,
z noise = z^2 * rms / (f B)), Kuznetsova et al. on SR300 (1 to 2 mm at 0.5 m), Toelgyessy et al. 2021 on the Azure
Kinect (1 to 2 mm, mixed pixels at edges).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import BoolArray, FloatArray, Intrinsics


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
    )


def depth_noise(depth: FloatArray, rng: np.random.Generator, sensor: SensorModel, camera: Intrinsics) -> FloatArray:
    """What `sensor` delivers for an ideal depth image.

    Args:
        depth: (H, W) float32 metres, 0 = nothing there.
        rng: source of all randomness.
        sensor: the camera's faults.
        camera: intrinsics of this image (its fx turns metres of baseline into pixels of disparity).

    Returns:
        (H, W) float32 metres, 0 = no reading.
    """
    if sensor.kind is SensorKind.IDEAL:
        return depth.copy()
    seed = int(rng.integers(2**31))
    cv2.setRNGSeed(seed)
    size = depth.shape
    shadow = _shadow(depth, sensor.baseline * camera.fx) if sensor.baseline else None
    measured = _ragged_outlines(depth, sensor.ragged) if sensor.ragged > 0 else depth.copy()
    if sensor.median:
        measured = cv2.medianBlur(measured, sensor.median)
    near, far = cv2.erode(measured, _SQUARE), cv2.dilate(measured, _SQUARE)
    edge = (far - near) > np.maximum(0.015, 0.03 * far)
    _mix_edges(measured, far, edge, sensor)
    # Outlines took as many numbers as there are of them; the noise that follows is to be the same for an equal seed.
    cv2.setRNGSeed(seed ^ 0x5EED)
    _add_noise(measured, sensor, camera)
    lost = _lost(depth, edge, sensor, camera)
    if shadow is not None:
        lost |= shadow
    measured[lost | (depth <= 0) | (measured <= 0.05) | (measured > sensor.max_range)] = 0.0
    if sensor.unit > 0:
        measured = np.rint(measured * np.float32(1.0 / sensor.unit)) * np.float32(sensor.unit)
    return measured.reshape(size)


_SQUARE = np.ones((3, 3), dtype=np.uint8)
_COLUMNS: dict[int, NDArray[np.float32]] = {}


def _normal(size: tuple[int, ...], smooth: float, coarse: int = 1) -> FloatArray:
    """Noise (H, W) of standard deviation about 1, correlated over `smooth` pixels, made at 1/coarse of the size."""
    small = (max(size[0] // coarse, 2), max(size[1] // coarse, 2))
    noise = np.empty(small, dtype=np.float32)
    cv2.randn(noise, 0.0, 1.0)
    sigma = smooth / coarse
    if sigma > 0.3:
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
        # A Gaussian average of white noise has the standard deviation 1 / (2 sigma sqrt(pi)).
        noise *= np.float32(max(2.0 * sigma * np.sqrt(np.pi), 1.0))
    if coarse > 1:
        noise = cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return noise


def _uniform(size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Bytes (H, W), all values alike."""
    noise = np.empty(size, dtype=np.uint8)
    cv2.randu(noise, 0, 256)
    return noise


def _shadow(depth: FloatArray, baseline_px: float) -> BoolArray:
    """Pixels that the second eye (or the projector), `baseline_px` = f B to the right (negative: left), cannot see.

    In a row, a point at column u is seen by the other eye at u - fB / z; it is hidden when a nearer point, further
    along the row, falls on the same place or before it.
    """
    columns = _COLUMNS.setdefault(depth.shape[1], np.arange(depth.shape[1], dtype=np.float32))
    flip = baseline_px < 0
    image = depth[:, ::-1] if flip else depth
    place = columns - np.float32(abs(baseline_px)) / np.where(image > 0, image, np.float32(1e6))
    first_after = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(depth.shape, dtype=bool)
    # One pixel of slack: slanted surfaces are not shadows.
    hidden[:, :-1] = first_after[:, 1:] < place[:, :-1] - 1.0
    return hidden[:, ::-1] if flip else hidden


def _ragged_outlines(depth: FloatArray, pixels: float) -> FloatArray:
    """Shift each pixel's source by smooth noise of `pixels`: surfaces hardly change, outlines get frayed."""
    height, width = depth.shape
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    shift = np.float32(pixels)
    map_x = columns + shift * _normal(depth.shape, 3.0, 2)
    map_y = rows + shift * _normal(depth.shape, 3.0, 2)
    return np.asarray(cv2.remap(depth, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))


def _mix_edges(measured: FloatArray, far: FloatArray, edge: BoolArray, sensor: SensorModel) -> None:
    """Flying pixels: some outline pixels get a depth between the two surfaces."""
    where = np.flatnonzero(edge)
    chosen = where[_uniform((1, max(len(where), 1)))[0, : len(where)] < sensor.flying * 255]
    if len(chosen) == 0:
        return
    weight = np.empty((1, len(chosen)), dtype=np.float32)
    cv2.randu(weight, 0.0, 1.0)
    flat, beyond = measured.reshape(-1), far.reshape(-1)[chosen]
    own = flat[chosen]
    # Mixtures lean towards one of the surfaces; with nothing behind there is nothing to mix.
    flat[chosen] = np.where(own > 0, own + weight[0] ** 2 * (beyond - own), own)


def _add_noise(measured: FloatArray, sensor: SensorModel, camera: Intrinsics) -> None:
    """Noise along z, in place."""
    noise = _normal(measured.shape, sensor.smooth)
    if sensor.kind is SensorKind.STEREO:
        # dz = z^2 / (f B) * d(disparity); the matcher's steps are 1/32 px.
        scale = np.float32(1.0 / (camera.fx * abs(sensor.baseline)))
        step = np.rint(noise * np.float32(sensor.subpixel * 32.0)) * np.float32(1.0 / 32.0)
        measured += measured * measured * scale * step
    else:
        noise += _normal(measured.shape, 6.0, 4) * np.float32(0.5)
        sigma = np.float32(sensor.subpixel * 1e-3)
        if sensor.kind is SensorKind.STRUCTURED:
            measured += sigma * (np.float32(0.15) + measured * measured) * noise
        else:
            measured += sigma * (np.float32(0.5) + np.float32(0.5) * measured) * noise
            _round_corners(measured)
    measured += np.float32(sensor.bias)


def _round_corners(measured: FloatArray) -> None:
    """Multipath of time of flight: light between facing surfaces makes concave places shallower by millimetres."""
    smooth = cv2.blur(measured, (9, 9))
    difference = measured - smooth
    # Only dents of a few centimetres; outlines (large differences) are left alone.
    dent = (difference > 0) & (difference < 0.03)
    measured[dent] -= np.float32(0.15) * difference[dent]


def _lost(depth: FloatArray, edge: BoolArray, sensor: SensorModel, camera: Intrinsics) -> BoolArray:
    """Pixels without a reading: some of the outlines, grazing surfaces, speckles."""
    lost = edge & (_normal(depth.shape, 1.5) > np.float32(_quantile(sensor.edge_holes)))
    slope_x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    # One pixel is z / f metres wide, so the slope's tangent is dz/du * f / z.
    limit = depth * np.float32(sensor.grazing / camera.fx)
    lost |= (slope_x * slope_x + slope_y * slope_y > limit * limit) & (_uniform(depth.shape) < 200)
    if sensor.speckle > 0:
        lost |= _normal(depth.shape, 2.5, 2) > np.float32(_quantile(sensor.speckle) * 0.9)
    return lost


def _quantile(share: float) -> float:
    """x such that a standard normal variable exceeds it with probability `share` (Abramowitz and Stegun 26.2.23)."""
    if share <= 0:
        return float("inf")
    tail = min(share, 1.0 - share)
    t = float(np.sqrt(-2.0 * np.log(max(tail, 1e-9))))
    x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return x if share <= 0.5 else -x
