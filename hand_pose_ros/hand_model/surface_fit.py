"""The hand model laid onto measured points of its surface, about the joints that a network gives.

Articulated closest points (Tagliasacchi et al. 2015, "Robust Articulated-ICP"): every measured point draws the nearest
point of the model's surface that faces the camera along its normal, less the farther it lies; the network's joints, as
sure as it is of each, and how people's hands differ hold the rest. A few Gauss-Newton steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.articulated import ANGLES, BENDS, SHAPE, ArticulatedHand, PosedHand
from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.model import NUM_BETAS, HandModel
from hand_pose_ros.skeleton import CANONICAL_TO_MANO, MANO_TO_CANONICAL, NUM_JOINTS, Side
from hand_pose_ros.types import DoubleArray, FloatArray, ManoParameters, check_array

Array = NDArray[np.float64]

# Points of the model's surface.
_POINTS: Final = 400
_STEPS: Final = 3
# What a measured point is off by (m), and how many of them are independent: neighbours err alike.
_NOISE: Final = 0.004
_INDEPENDENT: Final = 600.0
# Beyond this distance (m) a measured point is hardly the hand's (Geman and McClure's); larger at first.
_REACH: Final = 0.006
_FIRST_REACH: Final = 1.8
# The joints' deviations: a network errs alike at joints beside each other, so that each says less. And the least (m).
_ALIKE: Final = 1.5
_LEAST: Final = 0.001
# How far (rad) an angle may be from where the network's joints put it.
_BEND: Final = float(np.radians(30.0))
_SIDEWAYS: Final = float(np.radians(15.0))
# No angle turns more at once (rad).
_LARGEST_TURN: Final = 0.5
# How much more each frame (its number's root) tells of the shape than people's spread; frames that are remembered.
_LEARNT: Final = 1.0
_MEMORY: Final = 60
# Of back-facing points: never the nearest (m^2).
_AWAY: Final = 1e3


@dataclass(frozen=True)
class FittedHand:
    """A hand model's parameters, with its joints (21, 3) canonical order, their deviations (21,) and vertices (V, 3),
    float32 metres."""

    parameters: ManoParameters
    joints: FloatArray
    joint_std: FloatArray
    vertices: FloatArray


class HandShape:
    """What is known of a hand's shape from the frames so far."""

    def __init__(self) -> None:
        self.betas: Array = np.zeros(NUM_BETAS)
        self.frames = 0

    @property
    def precision(self) -> float:
        """Of the betas, whose spread among people is 1. Errors of consecutive frames are alike."""
        return 1.0 + _LEARNT * float(np.sqrt(self.frames))

    def learn(self, betas: Array) -> None:
        """Take the shape of one more frame."""
        self.frames = min(self.frames + 1, _MEMORY)
        self.betas = self.betas + (betas - self.betas) / self.frames


class SurfaceFit:
    """Fits hands of one side.

    Args:
        model: of that side.
    """

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self._hand = ArticulatedHand(model, _POINTS)
        self._start = HandFitter(model)
        flip = -1.0 if model.side is Side.LEFT else 1.0
        self._flip: Array = np.array([flip, 1.0, 1.0])
        self._angle_precision: Array = np.where(BENDS, _BEND, _SIDEWAYS) ** -2.0

    def __call__(self, joints: FloatArray, joint_std: FloatArray, points: DoubleArray, shape: HandShape) -> FittedHand:
        """The hand.

        Args:
            joints: (21, 3) metres, canonical order.
            joint_std: (21,) metres, how sure each is.
            points: (M, 3) metres that may be measured points of its surface, in the same axes; the camera is at 0.
            shape: of this hand; it learns.

        Raises:
            InvalidData: joints of another form, or not finite, or such as no hand has.
            numpy.linalg.LinAlgError: deviations that leave the hand undetermined.
        """
        check_array("fit joints", joints, (NUM_JOINTS, 3), np.float32)
        wanted = (joints[CANONICAL_TO_MANO] * self._flip).astype(np.float64)
        measured = points * self._flip
        # Of each coordinate.
        sure = np.repeat((joint_std[CANONICAL_TO_MANO].astype(np.float64) * _ALIKE + _LEAST) ** -2.0, 3)
        state = self._start.state_of(wanted, shape.betas)
        turned = np.zeros(ANGLES.stop - ANGLES.start)
        for step in range(_STEPS):
            reach = _REACH * (_FIRST_REACH + (1.0 - _FIRST_REACH) * step / (_STEPS - 1))
            posed = self._hand.pose(state)
            normal, right = self._equations(posed, measured, reach, wanted, sure)
            diagonal = normal.diagonal().copy()
            diagonal[ANGLES] += self._angle_precision
            diagonal[SHAPE] += shape.precision
            np.fill_diagonal(normal, diagonal)
            right[ANGLES] -= self._angle_precision * turned
            right[SHAPE] -= shape.precision * (state.betas - shape.betas)
            move: Array = np.linalg.solve(normal, right).astype(np.float64)
            move *= min(1.0, _LARGEST_TURN / max(float(np.abs(move[: ANGLES.stop]).max()), 1e-9))
            turned += move[ANGLES]
            state = self._hand.moved(state, move)
        parameters = self._start.parameters_of(state)
        fitted = self.model.forward_parameters(parameters)
        shape.learn(state.betas)
        return FittedHand(parameters, fitted.joints, _deviations(normal, posed, joint_std), fitted.vertices)

    def _equations(
        self, posed: PosedHand, measured: Array, reach: float, wanted: Array, sure: Array
    ) -> tuple[Array, Array]:
        """Normal equations of one step: the measured points' and the network's joints'."""
        slopes = posed.joint_slopes.reshape(-1, posed.joint_slopes.shape[-1])
        weighted = slopes * sure[:, None]
        normal = slopes.T @ weighted
        right = weighted.T @ (wanted - posed.joints).reshape(-1)
        if len(measured):
            away = np.einsum("nk,nk->n", posed.normals, posed.points) >= 0
            square = np.einsum("nk,nk->n", posed.points, posed.points) + _AWAY * away
            # Single precision tells which is nearest, in half the time.
            distance = measured.astype(np.float32) @ (-2.0 * posed.points.T).astype(np.float32)
            distance += square.astype(np.float32)
            nearest = distance.argmin(axis=1)
            gap = measured - posed.points[nearest]
            off = np.einsum("mk,mk->m", gap, posed.normals[nearest])
            weight = (1.0 + np.einsum("mk,mk->m", gap, gap) / reach**2) ** -2.0
            # The fewer of them are the hand's, the less each is believed.
            weight *= _INDEPENDENT * float(weight.mean()) / (_NOISE**2 * len(measured))
            # Points that are nearest to the same point of the model share its slopes.
            count = len(posed.points)
            total = np.bincount(nearest, weight, count)
            chosen = np.flatnonzero(total)
            slopes = self._hand.slopes(posed, chosen)
            normal += slopes.T @ (slopes * total[chosen, None])
            right += slopes.T @ np.bincount(nearest, weight * off, count)[chosen]
        return normal, right


def _deviations(normal: Array, posed: PosedHand, joint_std: FloatArray) -> FloatArray:
    """The geometric mean of the network's deviations and those that the last step's equations leave.

    Measured, it follows the errors better than either: the network knows hard pictures, the fit which joints are held
    by measured points.
    """
    slopes = posed.joint_slopes.reshape(-1, posed.joint_slopes.shape[-1])
    variance = ((slopes @ np.linalg.inv(normal)) * slopes).sum(axis=1).reshape(-1, 3).mean(axis=1)
    own: Array = np.sqrt(variance)[MANO_TO_CANONICAL]
    return np.asarray(np.sqrt(own * joint_std), dtype=np.float32)
