"""How hands and arms move in a sequence: smooth paths of the wrist, an elbow that follows, gestures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.arms import bend_stub
from hand_pose_ros.datasets.synthetic.placement import rotation_about
from hand_pose_ros.datasets.synthetic.spec import HandTruth, Skin
from hand_pose_ros.hand_model.anatomy import pose_from_angles
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.pose_prior import KEY_POSES, clip_to_limits
from hand_pose_ros.options import ConfigError
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, ManoParameters

UPPER_ARM: Final = 0.29  # m, shoulder to elbow
FOREARM: Final = 0.25  # m, elbow to wrist
GRASPS: Final = ("cylinder_50", "cylinder_75", "grip_60", "grip_85", "ball")


@dataclass(frozen=True)
class HandMotion:
    """One hand over n instants, camera metres.

    Attributes:
        model: the hand model of its side.
        skin: how it is coloured.
        betas: (10,).
        poses: (n, 45).
        wrists: (n, 3).
        elbows: (n, 3).
        shoulder: (3,).
        forearms: (n, 3, 3) rotations of the forearm: x along it, as in the model's rest pose.
        bends: (n, 2) radians of wrist flexion and radial deviation.
    """

    model: HandModel
    skin: Skin
    betas: FloatArray
    poses: FloatArray
    wrists: DoubleArray
    elbows: DoubleArray
    shoulder: DoubleArray
    forearms: DoubleArray
    bends: DoubleArray

    @property
    def side(self) -> Side:
        """Which hand."""
        return self.model.side

    def rotation(self, instant: int) -> DoubleArray:
        """(3, 3) of the hand at an instant."""
        flexion, deviation = self.bends[instant] * _sign(self.side)
        return np.asarray(self.forearms[instant] @ rotation_about(2, flexion) @ rotation_about(1, deviation))

    def at(self, instant: int) -> HandTruth:
        """The hand at an instant."""
        rotation = self.rotation(instant)
        orient = cv2.Rodrigues(rotation)[0].reshape(3).astype(np.float32)
        pose = self.poses[instant].astype(np.float32)
        origin = self.model.forward(orient, pose, self.betas, np.zeros(3, dtype=np.float32))
        transl = (self.wrists[instant] - origin.joints[0]).astype(np.float32)
        joints = (origin.joints + transl).astype(np.float32)
        vertices = (origin.vertices + transl).astype(np.float32)
        return HandTruth(
            side=self.side,
            joints=joints,
            vertices=vertices,
            surface=bend_stub(self.model, vertices, joints[0], rotation, self.forearms[instant]),
            mano=ManoParameters(orient, pose, self.betas, transl),
            skin=self.skin,
            elbow=self.elbows[instant].astype(np.float32),
        )


def _sign(side: Side) -> float:
    # Right hands point along -x in the rest pose, left hands along +x.
    return 1.0 if side is Side.RIGHT else -1.0


def wander(rng: np.random.Generator, count: int, rate: float, seconds: float, columns: int) -> DoubleArray:
    """Smooth random curves (count, columns) between 0 and 1, all values about equally frequent.

    White noise through a Gaussian of `seconds` (one standard deviation), squashed by a logistic function.
    """
    sigma = max(seconds * rate, 1.0)
    reach = int(np.ceil(3.0 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.standard_normal((columns, count + 2 * reach))
    curves = np.stack([np.convolve(row, kernel, mode="valid") for row in noise], axis=1)
    return np.asarray(1.0 / (1.0 + np.exp(-1.702 * curves)))


def ease(progress: DoubleArray) -> DoubleArray:
    """Minimum-jerk rise from 0 to 1 (Flash and Hogan 1985); what is outside 0..1 stays at the end."""
    t = np.clip(progress, 0.0, 1.0)
    return np.asarray(t**3 * (10.0 - 15.0 * t + 6.0 * t**2))


def gesture_sequence(rng: np.random.Generator, names: Sequence[str], count: int, rate: float) -> FloatArray:
    """Poses (count, 45) of a right hand that goes through key poses of the prior, each for an equal time.

    Half of the time is spent moving; on its way the hand loosens a little, and it never holds quite still.

    Raises:
        ConfigError: a name that the prior does not know.
    """
    unknown = [name for name in names if name not in KEY_POSES]
    if unknown or not names:
        raise ConfigError(f"gestures: expected names among {', '.join(KEY_POSES)}; got {', '.join(unknown) or 'none'}")
    keys = np.stack([KEY_POSES[name] for name in names])
    place = np.arange(count) / count * len(keys)
    index = np.minimum(place.astype(int), len(keys) - 1)
    share = ease((place - index) * 2.0)[:, None]
    before, after = keys[np.maximum(index - 1, 0)], keys[index]
    angles = before + share * (after - before)
    loose = 0.8 * share * (1.0 - share) * (np.abs(after - before).max(axis=1, keepdims=True) > 1.0)
    angles = angles + loose * (KEY_POSES["relaxed"] - angles)
    angles = angles + 8.0 * (wander(rng, count, rate, 0.25, angles.shape[1]) - 0.5)
    return pose_from_angles(clip_to_limits(angles))


def follow_elbow(wrists: DoubleArray, shoulder: DoubleArray, pole: DoubleArray) -> DoubleArray:
    """Elbows (n, 3) for wrists (n, 3) of an arm from `shoulder` (3,), bent towards `pole` (3,).

    Out of reach the upper arm, never the forearm, is too long.
    """
    along = shoulder - wrists
    distance = np.linalg.norm(along, axis=1, keepdims=True)
    along = along / np.maximum(distance, 1e-9)
    reach = np.clip(distance, abs(UPPER_ARM - FOREARM) + 0.01, 0.999 * (UPPER_ARM + FOREARM))
    # The triangle of the arm: how far along wrist -> shoulder the elbow's foot lies, and how high it stands.
    foot = (FOREARM**2 - UPPER_ARM**2 + reach**2) / (2.0 * reach)
    height = np.sqrt(np.maximum(FOREARM**2 - foot**2, 0.0))
    side = pole - (along @ pole)[:, None] * along
    side = side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    return np.asarray(wrists + foot * along + height * side)


def forearm_frames(
    wrists: DoubleArray, elbows: DoubleArray, back: DoubleArray, rolls: DoubleArray, side: Side
) -> DoubleArray:
    """Rotations (n, 3, 3) of the forearms: x along them, y near `back` (3,) at first and carried along without twist.

    `rolls` (n,) radians turn each about its x; the same roll is the mirrored motion for the other side.
    """
    along = elbows - wrists
    along = _sign(side) * along / np.linalg.norm(along, axis=1, keepdims=True)
    frames = np.empty((len(wrists), 3, 3))
    y = back
    for index, x in enumerate(along):
        # Parallel transport: what was y, made orthogonal to the new x, small step by small step.
        y = y - (y @ x) * x
        y = y / np.linalg.norm(y)
        z = np.cross(x, y)
        frames[index] = np.stack([x, y, z], axis=1) @ rotation_about(0, _sign(side) * float(rolls[index]))
    return frames
