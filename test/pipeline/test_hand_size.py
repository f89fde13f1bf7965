from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.lifting import Root
from hand_pose_ros.pipeline.hand_size import KNOWN_SPREAD, HandSize


def test_what_is_told_stands_until_something_is_learnt() -> None:
    told = Root(0.6, 0.036, 20)
    assert HandSize().corrected(told) == told


@given(st.floats(0.75, 1.3), st.floats(0.3, 1.5), st.integers(5, 30))
def test_a_size_learnt_with_depth_holds_without(ratio: float, z: float, frames: int) -> None:
    size = HandSize()
    for k in range(frames):
        told = Root(0.5 + 0.01 * k, 0.03, 20)
        size.learn(told, Root(told.z * ratio, 0.004, 21))
    root = size.corrected(Root(z, 0.06 * z, 20))
    assert root.z == pytest.approx(z * ratio, rel=1e-6)
    assert root.std < 0.06 * z * ratio and root.std >= KNOWN_SPREAD * z * ratio * 0.99


@pytest.mark.parametrize("measured", [Root(0.61, 0.004, 5), Root(0.3, 0.004, 21), Root(1.2, 0.004, 21)])
def test_doubtful_measurements_teach_nothing(measured: Root) -> None:
    size, told = HandSize(), Root(0.6, 0.036, 20)
    size.learn(told, measured)
    assert size.corrected(told) == told


def test_scatter_keeps_the_deviation_up() -> None:
    size = HandSize()
    for k in range(40):
        size.learn(Root(0.6, 0.036, 20), Root(0.6 * (1.05 if k % 2 else 0.95), 0.004, 21))
    root = size.corrected(Root(0.6, 0.06, 20))
    assert root.z == pytest.approx(0.6, rel=0.01) and root.std > 0.6 * 0.045
