"""The pure parts of the comparison with MediaPipe: lifting by depth look-up, sides, and judging hands by truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import peer, peer_mediapipe
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Intrinsics

CAMERA = Intrinsics(100.0, 110.0, 31.5, 23.5, 64, 48)
PINHOLE = {"fx": 100.0, "fy": 110.0, "cx": 31.5, "cy": 23.5}


@pytest.mark.parametrize(
    ("pixel", "holes", "expected"),
    [
        ((20, 10), [], 0.5),
        ((20, 10), [(10, 20)], 0.5),  # the others of the window stand in
        ((0, 0), [], 0.5),  # the window reaches over the image's corner
        ((20.4, 9.6), [(slice(8, 13), slice(18, 23))], np.nan),
        ((200, 10), [], np.nan),  # a landmark beside the image
    ],
)
def test_depth_is_the_median_of_the_readings_around(
    pixel: tuple[float, float], holes: list[tuple[int | slice, int | slice]], expected: float
) -> None:
    depth = np.full((48, 64), 0.5, dtype=np.float32)
    depth[10, 21] = 3.0  # a flying pixel
    for hole in holes:
        depth[hole] = 0.0
    np.testing.assert_allclose(peer_mediapipe.depth_at([pixel], depth), [expected])


def test_lifted_points_project_back_and_fill_with_the_hands_depth() -> None:
    depth = np.full((48, 64), 0.5, dtype=np.float32)
    depth[:, 40:] = 0.0
    pixels = np.array([[5.2, 7.9], [20.0, 30.5], [60.0, 20.0]])
    lifted = peer_mediapipe.lift(pixels, depth, PINHOLE)
    assert lifted is not None
    joints, read = lifted
    np.testing.assert_allclose(project(joints, CAMERA), pixels)
    np.testing.assert_allclose(joints[:, 2], 0.5)
    assert read.tolist() == [True, True, False]
    assert peer_mediapipe.lift(pixels, np.zeros_like(depth), PINHOLE) is None


def test_own_shape_goes_where_most_joints_with_a_reading_are() -> None:
    world = np.random.default_rng(1).normal(0, 0.05, (21, 3))
    joints = world + np.array([0.1, 0.2, 0.7])
    joints[3] += [0, 0, 0.5]  # fell through to the background
    read = np.ones(21, dtype=bool)
    read[5:9], joints[5:9] = False, 9.0
    np.testing.assert_allclose(peer_mediapipe.in_place(world, joints, read), world + np.array([0.1, 0.2, 0.7]))


def test_conventions_of_mediapipe() -> None:
    assert [peer_mediapipe.person_side(label) for label in ("Left", "Right")] == ["right", "left"]
    # 0 and 1 are the outer edges of the first and last pixel.
    np.testing.assert_allclose(peer_mediapipe.to_pixels([(0, 0), (1, 1)], 64, 48), [(-0.5, -0.5), (63.5, 47.5)])


def _hand(side: str, joints: object) -> dict[str, object]:
    return {"side": side, "joints": joints, "own_shape": joints, "read": [True] * 20 + [False]}


def test_the_peers_answer_is_judged_by_the_truth() -> None:
    true = np.random.default_rng(2).normal(0, 0.04, (21, 3)).astype(np.float32) + np.float32([0, 0, 0.6])
    shifted = (true + np.float32([0, 0, 0.01])).tolist()
    frames = [
        {"hands": [_hand("left", shifted)]},
        {"hands": [_hand("right", shifted)]},  # the wrong side
        {"hands": []},
        {"hands": [_hand("left", None)]},  # without any depth under it: not in 3D
    ]
    times = {"pass": 0, "wall_ms": 20.0, "cpu_ms": 30.0, "tracker_cpu_ms": 25.0}
    content = {"peer": "P", "frames": [{**times, "stamp_ns": i, **frame} for i, frame in enumerate(frames)]}
    result = peer.read_result(peer_mediapipe.plain(content))
    truths = {i: _scene(true) for i in range(4)}
    judged = peer.judge(result.looked_up, truths)
    assert (judged.counts.found, judged.counts.wrong_side, judged.counts.missed) == (1, 1, 2)
    np.testing.assert_allclose(judged.errors(list(judged.found)), (10.0, 0.0, 0.0), atol=1e-2)
    assert result.without_depth == pytest.approx(1 / 21)
    table = peer.comparison([0.01] * 4, [0.01] * 4, judged, result, truths)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["CPU time per frame (ms)"] == pytest.approx((10.0, 30.0, None, 3.0))
    assert rows["found, with the right side"][:3] == (1, 1, 1)
    assert rows["hands that all found"][0] == 1


def _scene(joints: np.ndarray) -> object:
    """A truth, as far as it is looked at."""
    return SimpleNamespace(hands=(peer.PeerHand(Side.LEFT, joints),))
