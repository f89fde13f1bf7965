"""Two hands that hold one thing between their palms and move with it, for sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.datasets.synthetic.interaction import hold_together
from hand_pose_ros.datasets.synthetic.motion import HandMotion, follow_elbow, gesture_sequence, wander
from hand_pose_ros.datasets.synthetic.placement import cross, unit
from hand_pose_ros.datasets.synthetic.scene import models
from hand_pose_ros.datasets.synthetic.spec import ObjectTruth, Primitive, SequenceConfig, Skin
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.hand_model.pose_prior import mirror_pose
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray

# Poses of a hand that lies flat against a thing.
_AGAINST: Final = ("platform", "relaxed", "cupped", "spread")
_TURNS: Final = np.array([0.55, 0.6, 0.5])  # rad, largest about the camera's x, y and z
_ROOM: Final = (0.05, 0.085)  # m from a palm's middle to the middle of what is held
# Which way the fingers point while nothing is turned: up, and towards the camera or away from it.
_FINGERS: Final = {"facing": (0.0, -0.75, -0.65), "egocentric": (0.0, -0.5, 0.85)}


@dataclass(frozen=True)
class LedMotion(HandMotion):
    """A hand whose rotations (n, 3, 3) are those of what it holds; wrist and elbow give way."""

    rotations: DoubleArray

    def rotation(self, instant: int) -> DoubleArray:
        """(3, 3) of the hand at an instant."""
        return np.asarray(self.rotations[instant])


def hold_between(
    rng: np.random.Generator,
    config: SequenceConfig,
    rate: float,
    shoulders: Callable[[Side], DoubleArray],
    skin: Skin,
    betas: FloatArray,
) -> tuple[LedMotion, LedMotion, tuple[Primitive, ObjectTruth]]:
    """The right hand, the left hand, and what they hold as it lies in the middle of the sequence.

    Args:
        rng: of all randomness.
        config: of the sequence; `rate` is its instants per second.
        shoulders: (3,) where the arm of a side begins.
        skin, betas: of both hands.
    """
    count = round(config.frames * rate / config.fps)
    for _ in range(20):
        turns = axis_angle_to_matrix((2.0 * wander(rng, count, rate, 1.4 * config.pace, 3) - 1.0) * _TURNS)
        middles = _middles(rng, config, count, rate)
        apart, name = float(rng.uniform(*_ROOM)), _AGAINST[int(rng.integers(len(_AGAINST)))]
        poses = gesture_sequence(rng, (name,), count, rate)
        right, left = (
            _motion(side, config.view, turns, middles, apart, shoulders(side), poses, skin, betas) for side in _SIDES
        )
        held = hold_together(rng, (right.at(count // 2), left.at(count // 2)))
        if held is not None:
            return right, left, held
    raise AssertionError("twenty pairs of palms 10 to 17 cm apart left no room for anything between them")


_SIDES: Final = (Side.RIGHT, Side.LEFT)


def _middles(rng: np.random.Generator, config: SequenceConfig, count: int, rate: float) -> DoubleArray:
    """(n, 3) where the thing's middle goes: about the middle of the picture."""
    camera, curves = config.camera, wander(rng, count, rate, 1.3 * config.pace, 3)
    z = config.min_distance + curves[:, 0] * (config.max_distance - config.min_distance)
    size = np.array([camera.width, camera.height])
    pixels = size * (0.5 + np.array([0.3, 0.24]) * (curves[:, 1:] - 0.5))
    return back_project(pixels, z, camera)


def _motion(
    side: Side,
    view: str,
    turns: DoubleArray,
    middles: DoubleArray,
    apart: float,
    shoulder: DoubleArray,
    poses: FloatArray,
    skin: Skin,
    betas: FloatArray,
) -> LedMotion:
    """One of the hands, `apart` metres beside the middle, its palm towards it."""
    outward = (-1.0 if side is Side.RIGHT else 1.0) * (1.0 if view == "facing" else -1.0)
    model = models()[side]
    own = mirror_pose(poses) if side is Side.LEFT else poses
    fingers, palm = unit(np.array(_FINGERS[view])), np.array([-outward, 0.0, 0.0])
    # Rest pose: fingers along -x (left hands +x), palm -y.
    x = -fingers if side is Side.RIGHT else fingers
    rest = np.stack([x, -palm, cross(x, -palm)], axis=1)
    rotations = turns @ rest
    # Of the flat hand the palm's middle lies halfway from the wrist to the knuckles.
    palm_middle = 0.5 * model.joint_template[4].astype(np.float64) + 0.5 * model.joint_template[0]
    to_wrist = rest @ (model.joint_template[0] - palm_middle)
    wrists = middles + turns @ (np.array([outward * apart, 0.0, 0.0]) + to_wrist)
    elbows = follow_elbow(wrists, shoulder, np.array([0.6 * outward, 1.0, 0.15]))
    return LedMotion(
        model=model,
        skin=skin,
        betas=betas,
        poses=own,
        wrists=wrists,
        elbows=elbows,
        shoulder=shoulder,
        forearms=_forearms(rotations, wrists, elbows, side),
        bends=np.zeros((len(wrists), 2)),
        rotations=rotations,
    )


def _forearms(hands: DoubleArray, wrists: DoubleArray, elbows: DoubleArray, side: Side) -> DoubleArray:
    """Rotations (n, 3, 3): the hands' own, turned by the shortest way until x lies along the forearm: no twist."""
    along = (elbows - wrists) * (1.0 if side is Side.RIGHT else -1.0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    axis = np.cross(hands[:, :, 0], along)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, (hands[:, :, 0] * along).sum(axis=1, keepdims=True))
    return np.asarray(axis_angle_to_matrix(axis / np.maximum(sine, 1e-9) * angle) @ hands)
