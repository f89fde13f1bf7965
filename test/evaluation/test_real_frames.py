"""The benchmark on real frames, with pipelines whose answers are known; and the human bone ranges."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.evaluation.anthropometry import bone_ranges
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import JOINT_NAMES, Side
from hand_pose_ros.types import BoundingBox, Frame, HandEstimate, Intrinsics, Scene, TrackingState

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_frames", ROOT / "benchmarks" / "real_frames.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    sys.modules["real_frames"] = module
    spec.loader.exec_module(module)
    return module


class Answers:
    """A pipeline that answers with prepared joints, one frame after the other."""

    def __init__(self, joints: list[Any], side: Side = Side.RIGHT) -> None:
        self.joints = joints
        self.side = side
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def process(self, frame: Frame) -> Scene:
        joints = self.joints[self.resets - 1]
        if joints is None:
            return Scene(frame.stamp_ns, frame.frame_id, (), (), {}, {"low_score": 1})
        joints = joints.astype(np.float32)
        hand = HandEstimate(
            self.side,
            joints,
            np.full(21, 0.01, dtype=np.float32),
            np.ones(21, dtype=np.bool_),
            0.8,
            1,
            TrackingState.DETECTED,
            BoundingBox(0, 0, 10, 10),
            wrist_pose(joints, self.side),
        )
        return Scene(frame.stamp_ns, frame.frame_id, (hand,), (), {"total": 5.0})


def test_a_hand_eight_millimetres_under_the_skin(benchmark: ModuleType, shared_dir: Path) -> None:
    cases = benchmark.load_cases(shared_dir)
    assert len(cases) == 21
    assert [case.reliability for case in cases].count("good") == 15
    answers: list[Any] = [None if c.reference is None else c.reference + [0, 0, 0.008] for c in cases]  # noqa: RUF005
    answers[0] = None
    pipeline = Answers(answers)
    outcomes = [benchmark.run_case(pipeline, case) for case in cases]
    figures = benchmark.reference_figures(outcomes, ["good"])
    assert (figures["frames"], figures["found"], figures["side right"]) == (15, 14, 14)
    assert figures["mean distance (mm)"] == pytest.approx(8.0, abs=1e-3)
    assert figures["mean depth offset, + is deeper (mm)"] == pytest.approx(8.0, abs=1e-3)
    assert figures["mean distance across the view (mm)"] == pytest.approx(0.0, abs=1e-3)
    assert figures["root-relative (mm)"] == pytest.approx(0.0, abs=1e-3)
    assert figures["hands with all joints within 30 mm"] == 14
    (wrist, *_) = benchmark.joint_table(outcomes).rows
    assert wrist[0] == "wrist"
    assert wrist[1:5] == pytest.approx((8.0, 8.0, 8.0, 0.0), abs=1e-3)
    # The reference lies on the measured surface but for the reading's neighbourhood.
    assert wrist[5] == pytest.approx(8.0, abs=2.0) and wrist[6] < 3.0
    text = benchmark.make_report(outcomes, outcomes, {}).text()
    assert "hand found at its place" in text
    assert benchmark.contact_sheet(outcomes).shape == (5 * benchmark.TILE, 5 * benchmark.TILE, 3)


def test_joints_are_moved_onto_the_measured_surface(benchmark: ModuleType) -> None:
    camera = Intrinsics(100.0, 100.0, 31.5, 23.5, 64, 48)
    depth = np.full((48, 64), 0.5, dtype=np.float32)
    depth[:, 40:] = 0.0
    depth[20:23, 10:13] = 0.9  # nine of 25 pixels are not the median
    at = np.array([[11.0, 21.0], [30.0, 30.0], [60.0, 10.0], [20.0, 40.0]])
    joints = back_project(at, np.array([0.52, 0.49, 0.6, 0.47]), camera)
    moved = benchmark.on_the_skin(joints, Frame(0, "camera", camera, None, depth))
    # Nothing is measured at the third; what is measured behind the last is not the skin over it.
    np.testing.assert_allclose(moved, back_project(at, np.array([0.5, 0.5, 0.6, 0.47]), camera), atol=1e-9)


def test_the_place_of_the_hand_is_near_its_reference(benchmark: ModuleType, shared_dir: Path) -> None:
    for case in benchmark.load_cases(shared_dir):
        place = benchmark.place_of(case)
        if case.reference is not None:
            assert np.linalg.norm(place - case.reference.mean(axis=0)) < 0.025, case.name
        finder = benchmark.ReferenceFinder(None)
        finder.center = place
        (found,) = finder.find(case.frame, [], None)
        assert found.side is Side.RIGHT


def test_the_references_pixels_are_where_its_points_project(benchmark: ModuleType, shared_dir: Path) -> None:
    """Camera and depth unit as the data's README states them."""
    case = benchmark.load_cases(shared_dir)[4]
    u = 313.683 + 476.007 * case.reference[:, 0] / case.reference[:, 2]
    np.testing.assert_allclose(u, case.pixels[:, 0], atol=0.05)
    # The depth picture itself lies at the reference's depth.
    rows, columns = np.rint(case.pixels[:, ::-1]).astype(int).T
    gap = case.frame.depth[rows, columns] - case.reference[:, 2]
    assert np.median(np.abs(gap)) < 0.005


@pytest.mark.parametrize("shift", [0.5, -0.3])
def test_a_hand_elsewhere_is_another(benchmark: ModuleType, shared_dir: Path, shift: float) -> None:
    cases = [case for case in benchmark.load_cases(shared_dir) if case.reference is not None][:3]
    pipeline = Answers([case.reference + [shift, 0, 0] for case in cases], Side.LEFT)  # noqa: RUF005
    outcomes = [benchmark.run_case(pipeline, case) for case in cases]
    assert [(outcome.hand, outcome.others) for outcome in outcomes] == [(None, 1)] * 3


def test_the_box_hand_is_looked_for_at_its_place(benchmark: ModuleType, shared_dir: Path) -> None:
    box = benchmark.load_cases(shared_dir)[-2]
    # The middle of the known box, 885 px and 515.5 px, and the depth there.
    z = float(np.median(box.frame.depth[500:531, 870:901]))
    centre = np.array([(885 - 956.75) / 906.96 * z, (515.5 - 547.23) / 906.79 * z, z])
    rng = np.random.default_rng(0)
    hand = rng.normal(0, 0.02, (21, 3)) + centre
    assert benchmark.run_case(Answers([hand]), box).hand is not None
    assert benchmark.run_case(Answers([hand + np.array([0.15, 0, 0])]), box).hand is None


def test_the_bundled_hand_is_human() -> None:
    model = HandModel.bundled(Side.RIGHT)
    zeros = [np.zeros(size, dtype=np.float32) for size in (3, 45, 10, 3)]
    joints = model.forward(*zeros).joints.astype(np.float64)
    parents = [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
    lengths = np.linalg.norm(joints[1:] - joints[parents], axis=1)
    low, high = bone_ranges().T
    outside = [JOINT_NAMES[i + 1] for i in range(20) if not low[i] <= lengths[i] <= high[i]]
    assert not outside
    # Hands of a wrong scale are told apart.
    assert (0.6 * lengths < low).sum() > 15
    assert (1.5 * lengths > high).sum() > 15
