"""Where a known surface lies in a depth image: a search of poses that explain what the camera measured.

A pose is worth the part of its visible surface that was measured where it should be, less what should have been seen
and was seen through. What hides the surface speaks neither for nor against it. Poses are tried, the best are moved and
tried again with smaller moves; the moves are drawn once, so that the same image always gives the same pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.geometry.surface import Surface
from hand_pose_ros.geometry.wrist import quaternion_to_matrix
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# What surface that was seen through costs, and what is hidden: of what measured surface gains.
_SEEN_THROUGH: Final = 1.0
_HIDDEN: Final = 0.15
# A measured surface of which nothing says that it is the object's loses a little.
_ANYTHING: Final = 0.1
# How far (m) a measurement may lie from the surface: at first and in the end.
_COARSE: Final = 0.025
_FINE: Final = 0.005
# What is left of a move's size, and of that distance, in the next round.
_SHRINK: Final = 0.75
_NARROW: Final = 0.8
# Of a step towards the measurements: damping, and the largest turn (rad).
_DAMPING: Final = 0.02
_LARGEST_TURN: Final = 0.3
# Poses that compete in the last rounds.
_COMPETE: Final = 6


class Poses(NamedTuple):
    """rotation (H, 3, 3) object to camera axes, translation (H, 3) metres."""

    rotation: FloatArray
    translation: FloatArray

    def at(self, chosen: NDArray[np.intp]) -> Poses:
        """Some of them."""
        return Poses(self.rotation[chosen], self.translation[chosen])


@dataclass(frozen=True, eq=False)
class DepthPatch:
    """A part of a depth image, perhaps every so many-th pixel.

    Attributes:
        depth: (H, W) metres, 0 without a reading.
        belief: (H, W) 0..1, how likely the pixel shows the object.
        camera: of the patch.
    """

    depth: FloatArray
    belief: FloatArray
    camera: Intrinsics


class Explained(NamedTuple):
    """Of H poses (H,): value, what the search looks for; measured, the part of the surface before the camera that was
    measured in its place; contradicted, the part of it that was seen through."""

    value: FloatArray
    measured: FloatArray
    contradicted: FloatArray


class Looked(NamedTuple):
    """What H poses (`poses`) of a surface of N points meet in the patch: points, normals (H, 3, N) of the surface
    before the camera; (H, N) the normals' cosine to the ray, the depth measured there (0: none), how far behind the
    points it lies, and what is believed of its pixel."""

    poses: Poses
    points: FloatArray
    normals: FloatArray
    facing: FloatArray
    measured: FloatArray
    gap: FloatArray
    belief: FloatArray

    def at(self, chosen: NDArray[np.intp]) -> Looked:
        """Some of them."""
        return Looked(self.poses.at(chosen), *(part[chosen] for part in self[1:]))

    def beside(self, other: Looked) -> Looked:
        """These and the others."""
        return Looked(
            _joined(self.poses, other.poses), *(np.concatenate(pair) for pair in zip(self[1:], other[1:], strict=True))
        )


class PoseScore:
    """How well poses of a surface explain a patch."""

    def __init__(self, patch: DepthPatch, surface: Surface) -> None:
        # A border of pixels without a reading stands for everything outside.
        self._depth = np.pad(patch.depth, 1).ravel()
        self._belief = np.pad(patch.belief - _ANYTHING, 1).ravel()
        self._height, self._width = (size + 2 for size in patch.depth.shape)
        self._camera = patch.camera
        self._points = np.ascontiguousarray(surface.points.T)
        self._normals = np.ascontiguousarray(surface.normals.T)

    def worth(self, seen: Looked, reach: float) -> Explained:
        """reach: how far (m) a measurement may lie from the surface."""
        area, gap, known = np.maximum(seen.facing, 0.0), seen.gap, seen.measured > 0
        near = known & (np.abs(gap) < reach)
        through = known & (gap >= reach)
        fit = seen.belief * (1.0 - (gap / reach) ** 2)
        worth = np.where(near, fit, np.where(through, -_SEEN_THROUGH, np.where(known, -_HIDDEN, 0.0)))
        visible = area.sum(axis=1) + 1e-9
        return Explained(
            (area * worth).sum(axis=1) / area.shape[1],
            (area * near).sum(axis=1) / visible,
            (area * through).sum(axis=1) / visible,
        )

    def drawn(self, seen: Looked, reach: float) -> Poses:
        """One step of Gauss and Newton that brings the surface nearer to what was measured within `reach` of it
        (point to plane, along the ray)."""
        poses = seen.poses
        near = (seen.measured > 0) & (np.abs(seen.gap) < reach)
        weight = np.maximum(seen.facing, 0.0) * near * np.maximum(seen.belief, 0.0) * (1.0 - (seen.gap / reach) ** 2)
        lever = seen.points - poses.translation[:, :, None]
        slopes = np.concatenate((np.cross(lever, seen.normals, axis=1), seen.normals), axis=1)  # (H, 6, N)
        weighted = slopes * weight[:, None]
        square = weighted @ slopes.transpose(0, 2, 1)
        # Where nothing holds it, it stays: a turn of one rad and a move of `lever` are as much.
        size = np.sqrt((self._points * self._points).sum(axis=0).mean())
        still = _DAMPING * (weight.sum(axis=1)[:, None] + 1e-6) * np.array([size**2] * 3 + [1.0] * 3)
        square[:, np.arange(6), np.arange(6)] += still
        off = -seen.facing * seen.gap
        step = np.linalg.solve(square, (weighted @ off[:, :, None]).astype(np.float64))[..., 0]
        turn, shift = np.clip(step[:, :3], -_LARGEST_TURN, _LARGEST_TURN), np.clip(step[:, 3:], -reach, reach)
        turned = axis_angle_to_matrix(turn).astype(np.float32) @ poses.rotation
        return Poses(turned, poses.translation + shift.astype(np.float32))

    def look(self, poses: Poses) -> Looked:
        """Where these poses' surface lies in the patch, and what was measured there."""
        camera = self._camera
        points = poses.rotation @ self._points + poses.translation[:, :, None]
        normals = poses.rotation @ self._normals
        z = np.maximum(points[:, 2], 1e-3)
        facing = np.einsum("hcn,hcn->hn", normals, points)
        facing /= -z
        column = np.clip(np.rint(points[:, 0] / z * camera.fx + (camera.cx + 1)), 0, self._width - 1).astype(np.intp)
        row = np.clip(np.rint(points[:, 1] / z * camera.fy + (camera.cy + 1)), 0, self._height - 1).astype(np.intp)
        row *= self._width
        row += column
        measured = self._depth[row]
        return Looked(poses, points, normals, facing, measured, measured - z, self._belief[row])


class PoseSearch:
    """Tries poses, keeps the best, moves them by less and less.

    Args:
        families: the best of the first poses, that each go their own way for a while: a box on its other side explains
            little before it has been moved into its place.
        apart: rounds that they do.
        together: rounds after these, in which all moved poses of all families compete.
        children: moved poses of each family and round.
        turn, shift: one deviation of the first moves, rad and m.
    """

    def __init__(self, families: int, children: int, apart: int, together: int, turn: float, shift: float) -> None:
        rng = np.random.default_rng(0)
        self._families, self._children, self._apart = families, children, apart
        shape = (apart + together, families * children)
        turns, shifts = turn * rng.standard_normal((*shape, 3)), shift * rng.standard_normal((*shape, 3))
        # Some only turn, some only move.
        kind = rng.integers(3, size=shape)
        turns[kind == 1], shifts[kind == 2] = 0.0, 0.0
        sizes = (_SHRINK ** np.arange(len(turns)))[:, None, None]
        self._turns = axis_angle_to_matrix((turns * sizes).reshape(-1, 3)).reshape(*shape, 3, 3).astype(np.float32)
        self._shifts = (shifts * sizes).astype(np.float32)

    def __call__(self, score: PoseScore, first: Poses) -> tuple[Poses, Explained]:
        """The best pose (1 of them) that comes of the first ones, and how well it explains the patch."""
        seen = score.look(first)
        best = seen.at(_highest(score.worth(seen, _COARSE).value, self._families))
        for k, (turns, shifts) in enumerate(zip(self._turns, self._shifts, strict=True)):
            own, reach = len(best.facing), max(_FINE, _COARSE * _NARROW ** (k + 1))
            parents = best.poses.at(np.arange(len(turns)) % own)
            moved = Poses(turns @ parents.rotation, parents.translation + shifts)
            seen = best.beside(score.look(_joined(score.drawn(best, 2.0 * reach), moved)))
            value = score.worth(seen, reach).value
            if k < self._apart and len(value) % own == 0:
                best = seen.at(value.reshape(-1, own).argmax(axis=0) * own + np.arange(own))
            else:
                best = seen.at(_highest(value, _COMPETE))
        chosen = best.at(np.array([0]))
        return chosen.poses, score.worth(chosen, 2.0 * _FINE)


def _joined(first: Poses, second: Poses) -> Poses:
    return Poses(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def _highest(value: FloatArray, count: int) -> NDArray[np.intp]:
    return np.argsort(-value, kind="stable")[:count]


def even_rotations(count: int) -> DoubleArray:
    """(count, 3, 3) spread evenly over all turns: super-Fibonacci spirals (Alexa, CVPR 2022)."""
    index = np.arange(count) + 0.5
    small, large = np.sqrt(index / count), np.sqrt(1.0 - index / count)
    alpha, beta = 2 * np.pi * index / np.sqrt(2.0), 2 * np.pi * index / 1.533751168755204
    xyzw = (small * np.sin(alpha), small * np.cos(alpha), large * np.sin(beta), large * np.cos(beta))
    return quaternion_to_matrix(np.stack(xyzw, axis=-1))
