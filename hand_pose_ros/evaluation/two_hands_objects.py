"""Errors of object poses that know of symmetries: MSSD and the corners' distance. Metres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray

Array = FloatArray | DoubleArray


class Poses(NamedTuple):
    """N poses: rotations (N, 3, 3) and translations (N, 3) metres; x_camera = R x_object + t."""

    rotation: Array
    translation: Array


def mssd(predicted: Poses, truth: Poses, vertices: Array, symmetries: Array) -> DoubleArray:
    """Maximum symmetry-aware surface distance (N,): of the vertex that is farthest off, under the best symmetry.

    BOP challenge (Hodan et al., 2020). Keypoint Transformer gives both poses from the right wrist.

    Args:
        predicted, truth: of one model.
        vertices: (V, 3) of its mesh.
        symmetries: (S, 3, 3), `Symmetry.rotations()`.

    Raises:
        ValueError: the shapes do not fit.
    """
    return _best(predicted, truth, vertices, symmetries, worst=True)


def corner_errors(predicted: Poses, truth: Poses, corners: Array, symmetries: Array) -> DoubleArray:
    """Mean distance (N,) of the box's corners (8, 3) under the best symmetry, what the symmetry-aware loss sees.

    The box must itself be alike under the symmetries: about its middle, and round where the object is.
    """
    return _best(predicted, truth, corners, symmetries, worst=False)


def _best(predicted: Poses, truth: Poses, points: Array, symmetries: Array, worst: bool) -> DoubleArray:
    _check(predicted, truth, points, symmetries)
    # One model's points under every symmetry, once for all samples.
    turned = np.einsum("sij,vj->svi", symmetries, np.asarray(points, dtype=np.float64))
    errors = np.empty(len(truth.rotation))
    # One sample at a time: S x V x 3 numbers are enough at once.
    for n, (r, t, true_r, true_t) in enumerate(zip(*predicted, *truth, strict=True)):
        ours = points @ r.T + t
        distances = np.linalg.norm(turned @ true_r.T + true_t - ours, axis=-1)
        errors[n] = (distances.max(axis=1) if worst else distances.mean(axis=1)).min()
    return errors


def _check(predicted: Poses, truth: Poses, points: Array, symmetries: Array) -> None:
    count = len(truth.rotation)
    for name, poses in (("predicted", predicted), ("true", truth)):
        if poses.rotation.shape != (count, 3, 3) or poses.translation.shape != (count, 3):
            raise ValueError(
                f"{name} poses: expected rotations ({count}, 3, 3) and translations ({count}, 3), got "
                f"{poses.rotation.shape} and {poses.translation.shape}"
            )
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"expected points (V, 3) of the model, got {points.shape}")
    if symmetries.ndim != 3 or symmetries.shape[1:] != (3, 3) or not len(symmetries):
        raise ValueError(f"expected symmetries (S, 3, 3), the identity among them, got {symmetries.shape}")


@dataclass(frozen=True)
class ObjectScores:
    """MSSD in metres: the mean over samples, and each model's own with how many samples it has."""

    mean: float
    models: Mapping[str, tuple[float, int]]


def object_scores(
    names: Sequence[str],
    predicted: Poses,
    truth: Poses,
    vertices: Mapping[str, Array],
    symmetries: Mapping[str, Array],
) -> ObjectScores:
    """MSSD of N samples of several models; the mean is over samples, as published.

    Args:
        names: (N) the models' names.
        predicted, truth: (N) poses from the right wrist (or both in the camera frame).
        vertices: of each model, (V, 3).
        symmetries: of each model, (S, 3, 3).

    Raises:
        ValueError: a model without vertices or symmetries, or shapes that do not fit.
    """
    missing = sorted(set(names) - (vertices.keys() & symmetries.keys()))
    if missing:
        raise ValueError(f"expected vertices and symmetries of every model, got none of {', '.join(missing)}")
    every, models = np.array(names), {}
    errors = np.empty(len(names))
    for name in dict.fromkeys(names):
        own = every == name
        ours, theirs = (Poses(poses.rotation[own], poses.translation[own]) for poses in (predicted, truth))
        errors[own] = mssd(ours, theirs, vertices[name], symmetries[name])
        models[name] = (float(errors[own].mean()), int(own.sum()))
    return ObjectScores(float(errors.mean()) if len(errors) else float("nan"), models)
