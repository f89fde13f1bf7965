"""Objects of a recording: matching, place and MSSD under the shapes' symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hand_pose_ros.evaluation.recording_objects import ObjectMeter, object_mssd, object_table
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.types import ObjectEstimate


def thing(name: str, x: float = 0.0, turn: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> ObjectEstimate:
    rotation = axis_angle_to_matrix(np.array(turn)).astype(np.float32)
    place, extent = np.array([x, 0.0, 0.5], dtype=np.float32), np.array([0.04, 0.04, 0.1], dtype=np.float32)
    return ObjectEstimate(name, rotation, place, extent, 1.0)


@pytest.mark.parametrize(
    ("name", "turn", "expected"),
    [
        ("box", (0.0, 0.0, math.pi), 0.0),
        ("box", (math.pi, 0.0, 0.0), 0.0),
        ("box", (0.0, 0.0, math.pi / 2), 0.04),  # by its extents a quarter turn is no symmetry of a box
        ("cylinder", (0.0, 0.0, 0.7), 0.0),
        ("cylinder", (math.pi, 0.0, 0.0), 0.0),
        ("cup", (math.pi, 0.0, 0.0), 0.1),
        ("sphere", (1.0, 2.0, 0.5), 0.0),
        ("drill", (0.0, 0.0, math.pi), 0.04 * math.sqrt(2)),
    ],
)
def test_what_looks_alike_is_no_error(name: str, turn: tuple[float, float, float], expected: float) -> None:
    assert object_mssd(thing("mustard", turn=turn), thing(name)) == pytest.approx(expected, abs=1e-6)


def test_found_missed_and_invented() -> None:
    meter = ObjectMeter()
    meter.add([], [])
    assert meter.result() is None
    meter.add([thing("a", 0.3), thing("b", 0.01)], [thing("box")])
    meter.add([], [thing("box")])
    result = meter.result()
    assert result is not None
    assert (result.truths, result.found, result.invented) == (2, 1, 1)
    assert result.place == pytest.approx(0.01) and result.mssd == pytest.approx(0.01)
    assert object_table(result).rows[0] == pytest.approx((2, 1, 1, 10.0, 10.0))


def test_nothing_found_has_no_errors() -> None:
    meter = ObjectMeter()
    meter.add([], [thing("box")])
    result = meter.result()
    assert result is not None and math.isnan(result.mssd) and result.found == 0
