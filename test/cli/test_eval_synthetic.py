"""`hand_pose eval synthetic` with rendered frames and a pipeline that is off by a known distance."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from hand_pose_ros.cli import eval_synthetic as command
from hand_pose_ros.cli.main import main
from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.types import BoundingBox, HandEstimate, Scene, TrackingState


class OffPipeline:
    """Tells the truth of the frame that was asked for last, 6 mm too far to the right."""

    truths: ClassVar[list[Any]] = []

    def __init__(self, config: Any) -> None:
        self.config = config

    def reset(self) -> None:
        pass

    def describe(self) -> dict[str, str]:
        return {}

    def process(self, frame: Any) -> Scene:
        return Scene(frame.stamp_ns, frame.frame_id, tuple(self.truths), (), {"total": 1.0})


def test_on_rendered_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("moderngl")
    original = command.synthetic_frame
    total = 0

    def noted(*arguments: Any) -> Any:
        nonlocal total
        frame, hands = original(*arguments)
        OffPipeline.truths = [estimate(hand.truth) for hand in hands]
        total += sum(hand.visible_fraction >= 0.5 for hand in hands)
        return frame, hands

    monkeypatch.setattr(command, "synthetic_frame", noted)
    monkeypatch.setattr(command, "Pipeline", OffPipeline)
    arguments = ["eval", "synthetic", "--count", "4", "--min-visible", "0.5", "--out", str(tmp_path), "--worst", "0"]
    assert main(arguments) == 0
    report = json.loads((tmp_path / "synthetic.json").read_text())
    both = report["accuracy"]["counts"]["both"]
    assert both == {"found": total, "wrong_side": 0, "missed": 0, "invented": 0}
    assert total >= 2
    assert report["accuracy"]["absolute"] == pytest.approx(0.006, abs=1e-5)
    assert report["accuracy"]["root_relative"] == pytest.approx(0.0, abs=1e-5)
    assert (tmp_path / "synthetic_reliability.png").exists()


def estimate(truth: Any) -> HandEstimate:

    joints = (truth.joints + np.float32([0.006, 0, 0])).astype(np.float32)
    std, valid = np.full(21, 0.004, dtype=np.float32), np.ones(21, dtype=np.bool_)
    box, pose = BoundingBox(0, 0, 1, 1), wrist_pose(joints, truth.side)
    return HandEstimate(truth.side, joints, std, valid, 0.9, 1, TrackingState.DETECTED, box, pose)


def test_frames_depend_on_seed_and_number_alone() -> None:
    pytest.importorskip("moderngl")
    first = [frame for frame, _ in command.synthetic_frames(7, 2, True)]
    again = [frame for frame, _ in command.synthetic_frames(7, 2, True)]
    other = next(iter(command.synthetic_frames(8, 1, True)))[0]
    np.testing.assert_array_equal(first[1].color, again[1].color)
    np.testing.assert_array_equal(first[1].depth, again[1].depth)
    assert first[0].intrinsics != other.intrinsics
    assert next(iter(command.synthetic_frames(7, 1, False)))[0].color is None


def test_hands_that_are_hardly_seen_count_neither_way() -> None:
    def hand(x: float) -> Any:
        return SimpleNamespace(side=None, joints=np.broadcast_to(np.float32([x, 0, 0.5]), (21, 3)))

    scene = Scene(0, "c", (hand(0.0), hand(0.4), hand(0.9)))  # type: ignore[arg-type]
    kept = command.without_matches(scene, [hand(0.01)], [hand(0.41)])
    assert [float(h.joints[0, 0]) for h in kept.hands] == pytest.approx([0.0, 0.9])
