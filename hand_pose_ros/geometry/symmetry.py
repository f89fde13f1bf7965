"""Rotations that leave an object looking alike, so that an estimate is not blamed for what nobody can see."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.types import DoubleArray, InvalidData

Axis = tuple[float, float, float]
# Keypoint Transformer's evaluation turns by 5 degrees.
CONTINUOUS_STEPS: Final = 72


@dataclass(frozen=True)
class Symmetry:
    """The symmetries of an object about axes through its origin, in its own frame.

    Attributes:
        discrete: (axis, n): alike after every n-th part of a turn about the axis; (z, 2) is a half turn.
        continuous: an axis about which the object is a body of revolution, or None.

    Raises:
        InvalidData: an axis of length 0, or n below 2.
    """

    discrete: tuple[tuple[Axis, int], ...] = ()
    continuous: Axis | None = None

    def __post_init__(self) -> None:
        axes = [axis for axis, _ in self.discrete] + ([self.continuous] if self.continuous is not None else [])
        if any(len(axis) != 3 or not np.linalg.norm(axis) > 0 for axis in axes):
            raise InvalidData(f"symmetry: expected axes of three numbers and a length, got {axes}")
        if any(parts < 2 for _, parts in self.discrete):
            raise InvalidData(
                f"symmetry: expected two or more parts of a turn, got {self.discrete}; leave the axis out"
            )

    def rotations(self, steps: int = CONTINUOUS_STEPS) -> DoubleArray:
        """The rotations (S, 3, 3) in the object's axes, the identity first; `steps` of a continuous one.

        Products of one turn about each axis, in the order of the axes: all of them where two axes stand at right
        angles to each other and the second turn is a half one, as for boxes, prisms and cylinders.
        """
        turns = [_turns(axis, parts) for axis, parts in self.discrete]
        if self.continuous is not None:
            turns.append(_turns(self.continuous, steps))
        rotations = [np.eye(3)]
        for turn in turns:
            rotations = [a @ b for a, b in product(rotations, turn)]
        return np.array(rotations)


def _turns(axis: Axis, parts: int) -> DoubleArray:
    unit = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    return axis_angle_to_matrix(unit * (2 * np.pi * np.arange(parts) / parts)[:, None])
