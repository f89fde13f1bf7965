"""Objects of scenes against the truth, frame by frame: found or not, how far off, MSSD. Metres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.evaluation.report import Table
from hand_pose_ros.evaluation.two_hands_objects import Poses, mssd
from hand_pose_ros.geometry.surface import UNIT_BOX
from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.types import DoubleArray, ObjectEstimate

_X, _Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
# The synthetic truth's shapes: what leaves them alike, and along which axes their corners count (a body of revolution
# has none across its axis, as in Keypoint Transformer's training box).
_SHAPES: Final[Mapping[str, tuple[Symmetry, tuple[float, float, float]]]] = {
    "box": (Symmetry(((_Z, 2), (_X, 2))), (1.0, 1.0, 1.0)),
    "sphere": (Symmetry(), (0.0, 0.0, 0.0)),
    "cylinder": (Symmetry(((_X, 2),)), (0.0, 0.0, 1.0)),
    "capsule": (Symmetry(((_X, 2),)), (0.0, 0.0, 1.0)),
    "cup": (Symmetry(), (0.0, 0.0, 1.0)),
}


@dataclass(frozen=True)
class ObjectAccuracy:
    """What came of a recording's objects.

    Attributes:
        truths: true objects in all.
        found: of these with an estimate in their frame.
        invented: estimates in frames without as many true objects.
        place: mean distance of the origins.
        mssd: mean MSSD of the box's corners in the camera's frame, under the shape's symmetries.
    """

    truths: int
    found: int
    invented: int
    place: float
    mssd: float


class ObjectMeter:
    """Takes the objects of one frame after the other."""

    def __init__(self) -> None:
        self._truths = self._invented = 0
        self._places: list[float] = []
        self._mssd: list[float] = []

    def add(self, found: Sequence[ObjectEstimate], truth: Sequence[ObjectEstimate]) -> None:
        """Each true object takes the nearest estimate that is left; names do not count."""
        left = list(found)
        self._truths += len(truth)
        for item in truth:
            if not left:
                break
            nearest = min(left, key=lambda other: _distance(other, item))
            left.remove(nearest)
            self._places.append(_distance(nearest, item))
            self._mssd.append(object_mssd(nearest, item))
        self._invented += len(left)

    def result(self) -> ObjectAccuracy | None:
        """The figures so far; None where no frame had an object, true or not."""
        if not self._truths and not self._invented:
            return None
        place, error = (float(np.mean(values)) if values else float("nan") for values in (self._places, self._mssd))
        return ObjectAccuracy(self._truths, len(self._places), self._invented, place, error)


def object_mssd(found: ObjectEstimate, truth: ObjectEstimate) -> float:
    """MSSD (m) of the corners of the true object's box; a name that is no shape of ours has no symmetries."""
    symmetry, axes = _SHAPES.get(truth.name, (Symmetry(), (1.0, 1.0, 1.0)))
    corners: DoubleArray = np.asarray(UNIT_BOX * truth.extent * axes, dtype=np.float64)
    return float(mssd(_pose(found), _pose(truth), corners, symmetry.rotations())[0])


def _pose(item: ObjectEstimate) -> Poses:
    return Poses(item.rotation[None].astype(np.float64), item.translation[None].astype(np.float64))


def _distance(a: ObjectEstimate, b: ObjectEstimate) -> float:
    return float(np.linalg.norm(a.translation - b.translation))


def object_table(accuracy: ObjectAccuracy) -> Table:
    """Found or not, and errors in mm."""
    columns = ("true", "found", "invented", "place mm", "MSSD mm")
    row = (accuracy.truths, accuracy.found, accuracy.invented, accuracy.place * 1e3, accuracy.mssd * 1e3)
    return Table("Objects", columns, (row,))
