"""Followed hands laid onto the depth image: the hand model's surface where the network's joints say a hand is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hand_pose_ros.geometry.camera import back_project, project
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.surface_fit import FittedHand, HandShape, SurfaceFit
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import BONES, Side
from hand_pose_ros.types import DoubleArray, FloatArray, Frame, Intrinsics, InvalidData

# Measured points that are taken at most, and from so many on there is something to fit to.
_COUNT: Final = 400
_FEWEST: Final = 30
# How far (m) outside the joints' box in the picture, and before and behind them, the hand's surface may be.
_BESIDE: Final = 0.035
_BEFORE: Final = 0.06
# The patch is thinned out to at most so many pixels a side.
_SIDE: Final = 96
# A point is the other hand's where it is nearer to that one's bones by more than this (m).
_BETWEEN: Final = 0.004
_STARTS, _ENDS = np.array(BONES).T


class HandSurfaces:
    """Fits the hand model of each side to measured depth.

    Args:
        models: of both sides.
    """

    def __init__(self, models: Mapping[Side, HandModel]) -> None:
        self._fits = {side: SurfaceFit(model) for side, model in models.items()}
        self._person = HandShape()

    def reset(self) -> None:
        """Forget the person's shape: another one may come."""
        self._person = HandShape()

    def fit(
        self, tracks: Sequence[Track], frame: Frame, reach: tuple[float, float], one_person: bool
    ) -> dict[int, FittedHand]:
        """The hands as the depth image shows them, by their tracks' numbers; those of which it shows enough.

        Args:
            tracks: the followed hands; their shapes are learnt.
            frame: without depth nothing is fitted.
            reach: depths (m) that count.
            one_person: both hands have one shape.
        """
        if not tracks:
            self.reset()
        if frame.depth is None:
            return {}
        found = {}
        for track in tracks:
            others = [other.hand.joints for other in tracks if other is not track]
            points = points_about(track.hand.joints, others, frame.depth, frame.intrinsics, reach)
            if len(points) < _FEWEST:
                continue
            track.shape = self._person if one_person else track.shape or HandShape()
            fitted = self._fit(track, track.shape, points)
            if fitted is not None:
                found[track.track_id] = fitted
        return found

    def _fit(self, track: Track, shape: HandShape, points: DoubleArray) -> FittedHand | None:
        hand = track.hand
        try:
            return self._fits[hand.side](hand.joints, hand.joint_std, points, shape)
        except (InvalidData, np.linalg.LinAlgError):
            # Joints that are no hand's: the pipeline counts them when it asks for a mesh or the wrist.
            return None


def points_about(
    joints: FloatArray,
    others: Sequence[FloatArray],
    depth: FloatArray,
    camera: Intrinsics,
    reach: tuple[float, float],
) -> DoubleArray:
    """Measured points (M, 3) metres about a hand's joints that are not nearer to another hand."""
    pixels, z = project(joints, camera), joints[:, 2].astype(np.float64)
    beside = _BESIDE * np.array([camera.fx, camera.fy]) / z.mean()
    low = np.maximum(np.floor(pixels.min(axis=0) - beside), 0).astype(int)
    high = np.minimum(np.ceil(pixels.max(axis=0) + beside) + 1, (camera.width, camera.height)).astype(int)
    if (high <= low).any():
        return np.empty((0, 3))
    step = max(1, -(-int((high - low).max()) // _SIDE))
    patch = depth[low[1] : high[1] : step, low[0] : high[0] : step]
    near, far = max(reach[0], z.min() - _BEFORE), min(reach[1], z.max() + _BEFORE)
    row, column = np.nonzero((patch > near) & (patch < far))
    if len(row) > _COUNT:
        chosen = np.arange(_COUNT) * len(row) // _COUNT
        row, column = row[chosen], column[chosen]
    points = back_project(np.column_stack((column, row)) * step + low, patch[row, column], camera)
    for other in others:
        points = points[_to_bones(points, joints) < _to_bones(points, other) + _BETWEEN]
    return points


def _to_bones(points: DoubleArray, joints: FloatArray) -> DoubleArray:
    """Distance (M,) of points (M, 3) to a hand's nearest bone."""
    start, along = joints[_STARTS].astype(np.float64), (joints[_ENDS] - joints[_STARTS]).astype(np.float64)
    square = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip((points @ along.T - (start * along).sum(axis=1)) / square, 0.0, 1.0)
    gap = points[:, None] - start - share[..., None] * along
    return np.asarray(np.sqrt(np.einsum("mbk,mbk->mb", gap, gap).min(axis=1)))
