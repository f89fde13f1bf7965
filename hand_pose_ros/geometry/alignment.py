"""Rigid and similarity alignment of point sets (Umeyama 1991; Kabsch 1976)."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray


def rigid_alignment(
    source: FloatArray | DoubleArray, target: FloatArray | DoubleArray, weights: FloatArray | DoubleArray | None = None
) -> tuple[DoubleArray, DoubleArray]:
    """R (3, 3) and t (3,) that minimise the weighted squared distance of R @ source + t to target, both (N, 3)."""
    rotation, translation, _ = _align(source, target, weights, with_scale=False)
    return rotation, translation


def similarity_alignment(
    source: FloatArray | DoubleArray, target: FloatArray | DoubleArray
) -> tuple[DoubleArray, DoubleArray, float]:
    """R, t and scale s that minimise the squared distance of s * R @ source + t to target, both (N, 3)."""
    return _align(source, target, None, with_scale=True)


def procrustes(source: FloatArray | DoubleArray, target: FloatArray | DoubleArray) -> DoubleArray:
    """`source` (N, 3) after the similarity alignment to `target`, as in PA-MPJPE."""
    rotation, translation, scale = similarity_alignment(source, target)
    return scale * np.asarray(source, dtype=np.float64) @ rotation.T + translation


def _align(
    source: FloatArray | DoubleArray,
    target: FloatArray | DoubleArray,
    weights: FloatArray | DoubleArray | None,
    with_scale: bool,
) -> tuple[DoubleArray, DoubleArray, float]:
    a = np.asarray(source, dtype=np.float64)
    b = np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"expected two equal (N, 3) point sets with N >= 3, got {a.shape} and {b.shape}")
    w = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    mean_a, mean_b = w @ a, w @ b
    centred_a, centred_b = a - mean_a, b - mean_b
    u, singular, vt = np.linalg.svd((centred_b * w[:, None]).T @ centred_a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = 1.0
    if with_scale:
        variance = float(w @ (centred_a**2).sum(axis=1))
        scale = float(singular @ sign) / variance if variance > 0 else 1.0
    return rotation, mean_b - scale * rotation @ mean_a, scale
