"""Inverse kinematics: the hand model's parameters and mesh from 21 joint positions, fast enough for every frame.

Closed form, no iterations: the palm gives the global rotation, bone lengths give the shape, then each finger is turned
joint by joint towards the next measured joint about its anatomical axes, so that twists stay human. A left hand is
fitted as its mirror image.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.anatomy import axes_of
from hand_pose_ros.hand_model.articulated import HandState
from hand_pose_ros.hand_model.model import MIRROR_AXIS_ANGLE, NUM_BETAS, HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pose_ros.skeleton import CANONICAL_TO_MANO, NUM_JOINTS, Side
from hand_pose_ros.types import FloatArray, ManoParameters, check_array

Array = NDArray[np.float64]

# The palm in MANO's order: wrist, MCPs of index, middle, little, ring, and the thumb's CMC, which moves a little.
_PALM: Final = np.array([0, 1, 4, 7, 10, 13])
_PALM_WEIGHTS: Final = np.array([1.5, 1.0, 1.2, 1.0, 1.0, 0.3])
# Joints of the index, middle, little and ring finger and the thumb: base, second, third joint, tip.
_CHAINS: Final = np.array([[1, 2, 3, 17], [4, 5, 6, 18], [7, 8, 9, 20], [10, 11, 12, 19], [13, 14, 15, 16]])
_BONES: Final = np.array([(0, base) for base in _CHAINS[:, 0]] + [(c[k], c[k + 1]) for c in _CHAINS for k in range(3)])
# Bone lengths are measured to a few millimetres; betas are standard normal.
_LENGTH_STD: Final = 0.004
# A track's lengths are averaged over at most this many frames.
_MEMORY: Final = 60
# Rest of side deviation a hinge may show, and twist a finger may have at its base, radians.
_HINGE_SIDE: Final = np.radians([8.0, 8.0, 8.0, 8.0, 14.0])
# A hinge never bends further than this, whatever the noise, radians.
_HINGE_BEND: Final = (np.radians(-30.0), np.radians(125.0))
_FINGER_TWIST: Final = np.radians(15.0)
_THUMB_TWIST: Final = np.radians(40.0)
# The thumb pronates as it adducts and abducts: least squares over `pose_prior`'s samples, radians per radian.
_PRONATION: Final = (0.0, 0.48, 1.34)


def _dot(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(-1))


class HandFitter:
    """Fits one tracked hand: remembers its bone lengths, so that its shape settles and stays.

    Not for several hands or threads at once; make one per track.
    """

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self._right = model if model.side is Side.RIGHT else model.mirrored()
        rest = np.concatenate([self._right.joint_template, self._right.v_template[self._right.tips]])
        moves = np.concatenate([self._right.joint_shapedirs, self._right.shapedirs[self._right.tips]])
        self._rest: Array = rest.astype(np.float64)
        self._moves: Array = moves.astype(np.float64)
        bones = self._rest[_BONES[:, 1]] - self._rest[_BONES[:, 0]]
        self._lengths: Array = np.linalg.norm(bones, axis=1)
        directions = bones / self._lengths[:, None]
        bone_moves = self._moves[_BONES[:, 1]] - self._moves[_BONES[:, 0]]
        self._gains: Array = np.einsum("bc,bck->bk", directions, bone_moves)
        self._normal: Array = self._gains.T @ self._gains / _LENGTH_STD**2
        self._axes = axes_of(self._right)
        self._mean_lengths: Array | None = None
        self._frames = 0

    def reset(self) -> None:
        """Forget the shape (the track is another hand now)."""
        self._mean_lengths, self._frames = None, 0

    def fit(self, joints: FloatArray, betas_prior: FloatArray | None = None) -> tuple[ManoParameters, FloatArray]:
        """Parameters and vertices (V, 3) of the hand with these joints (21, 3): float32 metres, canonical order.

        `betas_prior` (10,) is the shape to stay near; default the mean hand. Raises `InvalidData`.
        """
        check_array("fit joints", joints, (NUM_JOINTS, 3), np.float32)
        points = joints[CANONICAL_TO_MANO].astype(np.float64)
        if self.model.side is Side.LEFT:
            points[:, 0] *= -1.0
        parameters = self.parameters_of(self.state_of(points, self._shape(points, betas_prior)))
        return parameters, self.model.forward_parameters(parameters).vertices

    def state_of(self, points: Array, betas: Array) -> HandState:
        """The pose of a right hand of this shape (10,) whose joints lie as nearly at `points` (21, 3) as can be.

        Metres, MANO's order, tips last.
        """
        rest = self._rest + self._moves @ betas
        turn, place = _align(rest[_PALM], points[_PALM], _PALM_WEIGHTS)
        rotations = self._finger_rotations(rest, points, turn, place)
        return HandState(np.concatenate([turn[None], rotations]), turn @ rest[0] + place, betas)

    def parameters_of(self, state: HandState) -> ManoParameters:
        """This model's parameters; a left hand's are those of the mirrored state."""
        axis_angles = matrix_to_axis_angle(state.rotations)
        # The model turns about its wrist joint: x = R (rest - wrist) + wrist + transl.
        transl = state.place - (self._rest[0] + self._moves[0] @ state.betas)
        if self.model.side is Side.LEFT:
            axis_angles = axis_angles * MIRROR_AXIS_ANGLE
            transl = transl * (-1.0, 1.0, 1.0)
        values = axis_angles.astype(np.float32)
        return ManoParameters(
            values[0], values[1:].reshape(45), state.betas.astype(np.float32), np.asarray(transl, dtype=np.float32)
        )

    def _shape(self, points: Array, prior: FloatArray | None) -> Array:
        """Regularised least squares on the running mean of the bone lengths."""
        lengths = np.linalg.norm(points[_BONES[:, 1]] - points[_BONES[:, 0]], axis=1)
        self._frames = min(self._frames + 1, _MEMORY)
        if self._mean_lengths is None:
            self._mean_lengths = lengths
        else:
            self._mean_lengths = self._mean_lengths + (lengths - self._mean_lengths) / self._frames
        center = np.zeros(NUM_BETAS) if prior is None else prior.astype(np.float64)
        # Errors of consecutive frames are alike: the evidence grows with the root of their number only.
        evidence = np.sqrt(self._frames)
        missing = self._mean_lengths - self._lengths - self._gains @ center
        right_side = self._gains.T @ missing * (evidence / _LENGTH_STD**2)
        return np.asarray(center + np.linalg.solve(self._normal * evidence + np.eye(NUM_BETAS), right_side))

    def _finger_rotations(self, rest: Array, points: Array, turn: Array, place: Array) -> Array:
        """(15, 3, 3) rotations of joints 1..15, all five fingers at once, from base to tip."""
        rotations = np.empty((15, 3, 3))
        world = np.broadcast_to(turn, (5, 3, 3))
        at = rest[_CHAINS[:, 0]] @ turn.T + place
        for level in range(3):
            here = _CHAINS[:, level]
            bone = rest[_CHAINS[:, level + 1]] - rest[here]
            wanted = _local(world, points[_CHAINS[:, level + 1]] - at)
            if level == 0:
                following = _local(world, points[_CHAINS[:, 3]] - points[_CHAINS[:, 1]])
                local = self._base_rotations(wanted, following)
            else:
                local = self._hinge_rotations(here - 1, bone, wanted)
            rotations[here - 1] = local
            world = world @ local
            at = at + (world @ bone[..., None])[..., 0]
        return rotations

    def _base_rotations(self, wanted: Array, following: Array) -> Array:
        """MCP joints and the thumb's CMC: two angles from the bone, a limited twist from the next bone's bend."""
        axes = self._axes[_CHAINS[:, 0] - 1]
        flexion, up, along = axes[:, 0], axes[:, 1], axes[:, 2]
        side = np.arcsin(np.clip(_dot(wanted, flexion), -1.0, 1.0))
        bend = np.arctan2(-_dot(wanted, up), _dot(wanted, along))
        first, second, twist = flexion * bend[:, None], up * side[:, None], np.zeros(5)
        adduction, abduction = self._thumb_angles(wanted[4])
        first[4], second[4] = axes[4, 0] * adduction, axes[4, 1] * abduction
        start, gain_adduction, gain_abduction = _PRONATION
        twist[4] = start + gain_adduction * max(adduction, 0.0) + gain_abduction * max(abduction, 0.0)
        swing = axis_angle_to_matrix(first) @ axis_angle_to_matrix(second)
        swing[4] = swing[4] @ axis_angle_to_matrix(axes[4, 2] * twist[4])
        return np.asarray(swing @ axis_angle_to_matrix(along * self._extra_twist(swing, following)[:, None]))

    def _extra_twist(self, swing: Array, following: Array) -> Array:
        """How far to turn about the bone so that the next joint's bend lies in its hinge's plane."""
        hinge = self._axes[_CHAINS[:, 1] - 1]
        about = self._axes[_CHAINS[:, 0] - 1, 2]
        local = _local(swing, following)
        across, down = _dot(local, hinge[:, 0]), -_dot(local, hinge[:, 1])
        # A straight finger says nothing of its twist: trust grows with the bend.
        sine = np.hypot(across, down)
        trust = np.clip((sine - 0.2) / 0.4, 0.0, 1.0) * (down > 0)
        limit = np.array([_FINGER_TWIST] * 4 + [_THUMB_TWIST])
        angle = np.clip(np.arctan2(across, np.maximum(down, 1e-6)) * trust, -limit, limit)
        # `hinge` twists about its own bone, which points the same way; the thumb's pronation axis points back.
        sign = np.sign(_dot(about, hinge[:, 2]))
        return np.asarray(-angle * sign)

    def _thumb_angles(self, wanted: Array) -> tuple[float, float]:
        """Adduction and palmar abduction that bring the thumb's metacarpal to `wanted` (rest palm frame)."""
        along = -self._axes[12, 2]
        abduction = np.arcsin(np.clip(along[1], -1, 1)) - np.arcsin(np.clip(wanted[1], -1, 1))
        # Azimuth about -y, the adduction axis.
        turn = np.arctan2(-wanted[0], wanted[2]) - np.arctan2(-along[0], along[2])
        return float((turn + np.pi) % (2 * np.pi) - np.pi), float(abduction)

    def _hinge_rotations(self, joints: NDArray[np.intp], bone: Array, wanted: Array) -> Array:
        """PIP, DIP, thumb MCP and IP: flexion, and a little side deviation."""
        axes = self._axes[joints]
        side = np.arcsin(np.clip(_dot(wanted, axes[:, 0]), -1.0, 1.0))
        rest_bone = bone / np.linalg.norm(bone, axis=1, keepdims=True)
        bend = np.arctan2(-_dot(wanted, axes[:, 1]), _dot(wanted, axes[:, 2]))
        bend = bend - np.arctan2(-_dot(rest_bone, axes[:, 1]), _dot(rest_bone, axes[:, 2]))
        side = np.clip(side - np.arcsin(np.clip(_dot(rest_bone, axes[:, 0]), -1, 1)), -_HINGE_SIDE, _HINGE_SIDE)
        bend = np.clip(bend, *_HINGE_BEND)
        flex = axis_angle_to_matrix(axes[:, 0] * bend[:, None])
        return np.asarray(flex @ axis_angle_to_matrix(axes[:, 1] * side[:, None]))


def fit_hand(
    model: HandModel, joints: FloatArray, betas_prior: FloatArray | None = None
) -> tuple[ManoParameters, FloatArray]:
    """`HandFitter.fit` of a single frame."""
    return HandFitter(model).fit(joints, betas_prior)


def _local(rotations: Array, vectors: Array) -> Array:
    """Unit vectors (N, 3) of `vectors` in the frames `rotations` (N, 3, 3)."""
    local = (vectors[:, None, :] @ rotations)[:, 0]
    return np.asarray(local / np.maximum(np.linalg.norm(local, axis=1, keepdims=True), 1e-9))


def _align(source: Array, target: Array, weights: Array) -> tuple[Array, Array]:
    """Rotation (3, 3) and translation (3,) of the weighted rigid alignment target = R source + t (Kabsch 1976)."""
    share = weights / weights.sum()
    a, b = share @ source, share @ target
    u, _, vt = np.linalg.svd((target - b).T @ ((source - a) * share[:, None]))
    u[:, 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = u @ vt
    return rotation, b - rotation @ a
