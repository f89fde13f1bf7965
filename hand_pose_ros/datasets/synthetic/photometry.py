"""What lens, sensor and compression do to the colour picture after the shader's exposure, white balance and gamma."""

from __future__ import annotations

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.noise import NoiseSource
from hand_pose_ros.datasets.synthetic.spec import Photometry
from hand_pose_ros.types import ByteArray, FloatArray


def sample_photometry(rng: np.random.Generator) -> Photometry:
    """A random camera: mostly good pictures, some dark, blurred, noisy or strongly compressed."""
    exposure = 2.0 ** rng.uniform(-1.2, 0.7)
    red, green, blue = (float(g) for g in exposure * rng.uniform(0.85, 1.18, 3))
    return Photometry(
        gain=(red, green, blue),
        gamma=float(rng.uniform(1.8, 2.5)),
        blur=float(rng.uniform(0.3, 1.6)) if rng.random() < 0.5 else 0.0,
        motion=float(rng.uniform(2.0, 12.0)) if rng.random() < 0.15 else 0.0,
        motion_angle=float(rng.uniform(0.0, np.pi)),
        noise=float(rng.uniform(0.5, 8.0)) if rng.random() < 0.8 else 0.0,
        jpeg_quality=int(rng.integers(25, 95)) if rng.random() < 0.2 else 0,
        seed=int(rng.integers(2**31)),
    )


def degrade_color(color: ByteArray, photometry: Photometry) -> ByteArray:
    """Blur, motion blur, noise and JPEG as `photometry` says; (H, W, 3) uint8 RGB in and out."""
    if photometry.blur > 0:
        color = cv2.GaussianBlur(color, (0, 0), photometry.blur)
    if photometry.motion >= 2:
        color = cv2.filter2D(color, -1, motion_kernel(photometry.motion, photometry.motion_angle))
    if photometry.noise > 0:
        height, width = color.shape[:2]
        source = NoiseSource(np.random.default_rng(photometry.seed))
        gain = np.float32(photometry.noise)
        # Each channel its own window, rounded by the sum's conversion.
        noise = cv2.merge([gain * source.normal((height, width)) for _ in range(3)])
        color = cv2.add(color, noise, dtype=cv2.CV_8U)
    if photometry.jpeg_quality > 0:
        _, encoded = cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_QUALITY, photometry.jpeg_quality])
        color = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    return color


def motion_kernel(length: float, angle: float) -> FloatArray:
    """A line of `length` pixels at `angle` radians, sum 1."""
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), dtype=np.float32)
    middle, half = size // 2, length / 2
    step = (half * np.cos(angle), half * np.sin(angle))
    start = (round(middle - step[0]), round(middle - step[1]))
    cv2.line(kernel, start, (round(middle + step[0]), round(middle + step[1])), 1.0)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
