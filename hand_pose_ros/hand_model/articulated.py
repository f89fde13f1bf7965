"""A hand model as a function of angles, place and shape, with its derivatives, at some points of its surface.

What `surface_fit` moves: 22 anatomical angles, the wrist's turn and place, ten shape coefficients. A right hand; a left
one is its mirror image.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.anatomy import axes_of
from hand_pose_ros.hand_model.model import NUM_BETAS, NUM_MODEL_JOINTS, HandModel
from hand_pose_ros.hand_model.normals import vertex_normals
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import Side

Array = NDArray[np.float64]

# The joint and the axis (`anatomy.axes_of`) of each angle: knuckles flex and deviate, the others flex; the thumb's
# saddle joint has all three, its knuckle two.
_KNUCKLES: Final = (1, 4, 7, 10)
_ANGLES: Final = np.array(
    [
        *((joint, axis) for joint in (*_KNUCKLES, 14) for axis in (0, 1)),
        *((joint + k, 0) for joint in _KNUCKLES for k in (1, 2)),
        *((13, 0), (13, 1), (13, 2), (15, 0)),
    ]
)
# Columns of the derivatives: the wrist's turn about the camera's axes, the angles, its place, the shape.
TURN: Final = slice(0, 3)
ANGLES: Final = slice(3, 3 + len(_ANGLES))
PLACE: Final = slice(ANGLES.stop, ANGLES.stop + 3)
SHAPE: Final = slice(PLACE.stop, PLACE.stop + NUM_BETAS)
COLUMNS: Final = SHAPE.stop
# Which angles bend a finger; the others turn it sideways, or the thumb at its saddle.
BENDS: Final = (_ANGLES[:, 1] == 0) & (_ANGLES[:, 0] != 13)


_CAMERA: Final = np.eye(3)
# (3, 9) so that v @ _CROSS is the matrix (row by row) that makes v x w of w.
_CROSS: Final = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0.0]])


class HandState(NamedTuple):
    """rotations (16, 3, 3) relative to the parent (wrist: to the camera), place (3,) of the wrist, betas (10,)."""

    rotations: Array
    place: Array
    betas: Array


class PosedHand(NamedTuple):
    """A posed hand: points, normals (N, 3) of the surface; joints (21, 3) in MANO's order, tips last, and how they move
    (21, 3, COLUMNS). The rest is for `ArticulatedHand.slopes`: turns (N, 3, 3) of the points, how the bones move with
    the shape (16, 30), the turning axes as matrices of their cross products (A, 3, 3), and these times the joint that
    each turns about (A, 3)."""

    points: Array
    normals: Array
    joints: Array
    joint_slopes: Array
    turns: Array
    moved: Array
    crossed: Array
    at: Array


class ArticulatedHand:
    """See the module.

    Args:
        model: of either side.
        count: points of the surface, spread evenly.
    """

    def __init__(self, model: HandModel, count: int) -> None:
        right = model if model.side is Side.RIGHT else model.mirrored()
        self.model = right
        own = _spread(right.v_template.astype(np.float64), count)
        chosen = np.concatenate([own, right.tips])
        self._count = len(own)
        self._rest = right.v_template[chosen].astype(np.float64)
        self._moves = right.shapedirs[chosen].astype(np.float64)
        self._basis = np.ascontiguousarray(right.posedirs[chosen].reshape(-1, right.posedirs.shape[-1]).T, np.float64)
        self._weights = right.weights[chosen].astype(np.float64)
        self._normals = vertex_normals(right.v_template, right.faces)[own].astype(np.float64)
        self._rest_joints = right.joint_template.astype(np.float64)
        self._joint_moves = right.joint_shapedirs.astype(np.float64)
        self._parents = right.parents
        self._axes = axes_of(right)[_ANGLES[:, 0] - 1, _ANGLES[:, 1]]
        below = self._below()
        # How far each turning axis takes a point along: what hangs on its joint or farther out.
        turning = np.concatenate([np.zeros(3, dtype=np.intp), _ANGLES[:, 0]])
        self._turning = turning
        self._share = (self._weights @ below.T)[:, turning]
        above = below.T.copy()
        np.fill_diagonal(above, 0.0)
        # A joint is moved by those between it and the wrist, a tip as a point of the surface.
        self._joint_share = np.concatenate([above[:, turning], self._share[self._count :]])

    def _below(self) -> Array:
        """(16, 16) 1 where the second joint is the first or hangs on it."""
        below = np.zeros((NUM_MODEL_JOINTS, NUM_MODEL_JOINTS))
        for joint in range(NUM_MODEL_JOINTS):
            above = joint
            while above >= 0:
                below[above, joint] = 1.0
                above = int(self._parents[above])
        return below

    def pose(self, state: HandState) -> PosedHand:
        """The hand in this state."""
        rotations, place, betas = state
        rest_joints = self._rest_joints + self._joint_moves @ betas
        world, pivots, drift = self._chain(rotations, rest_joints)
        pivots += place - rest_joints[0]
        drift -= self._joint_moves[0]
        local = self._rest + self._moves @ betas
        local += ((rotations[1:] - _CAMERA).reshape(-1) @ self._basis).reshape(-1, 3)
        offsets = pivots - (world @ rest_joints[..., None])[..., 0]
        blended = self._weights @ np.concatenate([world.reshape(-1, 9), offsets], axis=1)
        turns = blended[:, :9].reshape(-1, 3, 3)
        points = (turns @ local[..., None])[..., 0] + blended[:, 9:]
        count = self._count
        normals = (turns[:count] @ self._normals[..., None])[..., 0]
        # Where bones' turns are blended the blend is shorter than a turn.
        normals /= np.sqrt(np.einsum("nk,nk->n", normals, normals))[:, None]
        moved = (drift - world @ self._joint_moves).reshape(-1, 3 * NUM_BETAS)
        axes = np.concatenate([_CAMERA, (world[_ANGLES[:, 0]] @ self._axes[..., None])[..., 0]])
        # a x v as a matrix times v, for every axis, and a x (its joint).
        crossed = (axes @ _CROSS).reshape(-1, 3, 3)
        at = (crossed @ pivots[self._turning][..., None])[..., 0]
        joints = np.concatenate([pivots, points[count:]])
        shapes = np.concatenate([drift, self._shapes(slice(count, None), turns[count:], moved)])
        slopes = self._joint_slopes(joints, shapes, crossed, at)
        return PosedHand(points[:count], normals, joints, slopes, turns[:count], moved, crossed, at)

    def slopes(self, posed: PosedHand, chosen: NDArray[np.intp]) -> Array:
        """How these points move along their normals: (N, COLUMNS)."""
        points, normals, turns = posed.points[chosen], posed.normals[chosen], posed.turns[chosen]
        slopes = np.empty((len(chosen), COLUMNS))
        # n . (a x (x - p)) of all points and axes at once.
        pairs = (normals[:, :, None] * points[:, None]).reshape(-1, 9)
        turned = pairs @ posed.crossed.reshape(-1, 9).T - normals @ posed.at.T
        np.multiply(turned, self._share[chosen], out=slopes[:, : ANGLES.stop])
        slopes[:, PLACE] = normals
        slopes[:, SHAPE] = (normals[:, None] @ self._shapes(chosen, turns, posed.moved))[:, 0]
        return slopes

    def _shapes(self, chosen: NDArray[np.intp] | slice, turns: Array, moved: Array) -> Array:
        """How points move with the shape, (N, 3, 10)."""
        return np.asarray(turns @ self._moves[chosen] + (self._weights[chosen] @ moved).reshape(-1, 3, NUM_BETAS))

    def _chain(self, rotations: Array, rest: Array) -> tuple[Array, Array, Array]:
        """World rotations (16, 3, 3), joints (16, 3) and their derivatives by shape (16, 3, 10), wrist as at rest."""
        world, pivots = np.empty_like(rotations), np.empty_like(rest)
        drift = np.empty_like(self._joint_moves)
        world[0], pivots[0], drift[0] = rotations[0], rest[0], self._joint_moves[0]
        for level in self.model.levels:
            parent = self._parents[level]
            turned = world[parent]
            world[level] = turned @ rotations[level]
            pivots[level] = pivots[parent] + (turned @ (rest[level] - rest[parent])[..., None])[..., 0]
            drift[level] = drift[parent] + turned @ (self._joint_moves[level] - self._joint_moves[parent])
        return world, pivots, drift

    def _joint_slopes(self, joints: Array, shapes: Array, crossed: Array, at: Array) -> Array:
        slopes = np.empty((len(joints), 3, COLUMNS))
        turned = (joints @ crossed.reshape(-1, 3).T).reshape(len(joints), -1, 3) - at
        slopes[:, :, : ANGLES.stop] = (turned * self._joint_share[..., None]).transpose(0, 2, 1)
        slopes[:, :, PLACE] = _CAMERA
        slopes[:, :, SHAPE] = shapes
        return slopes

    def moved(self, state: HandState, step: Array) -> HandState:
        """The state after a step (COLUMNS,)."""
        turns = np.zeros((NUM_MODEL_JOINTS, 3))
        turns[0] = step[TURN]
        np.add.at(turns, _ANGLES[:, 0], self._axes * step[ANGLES, None])
        turned = axis_angle_to_matrix(turns)
        rotations = state.rotations @ turned
        rotations[0] = turned[0] @ state.rotations[0]
        return HandState(rotations, state.place + step[PLACE], state.betas + step[SHAPE])


def _spread(points: Array, count: int) -> NDArray[np.intp]:
    """Indices of `count` points, each as far from those before it as can be."""
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())]
    distance = np.full(len(points), np.inf)
    for _ in range(min(count, len(points)) - 1):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(sorted(chosen), dtype=np.intp)
