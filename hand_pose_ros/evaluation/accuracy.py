"""Adds up scenes and truth frame by frame: what was found, how far off it is, how steady, how certain.

Bags, data sets and benchmarks use this one accumulator. It keeps some 800 bytes per matched hand and no image.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hand_pose_ros.evaluation import metrics
from hand_pose_ros.evaluation.calibration import Calibration, calibration
from hand_pose_ros.evaluation.detection import DetectionCounts, Hand, count_frame, match_hands
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import DoubleArray, FloatArray, HandEstimate, Scene

# Frames of one track farther apart than this (s) are no motion but a gap.
MAX_STEP: Final = 0.25


@dataclass(frozen=True)
class Accuracy:
    """The result over all frames that had truth; metres, `nan` where there was nothing to measure.

    Attributes:
        frames: frames with truth (which may say that there is no hand).
        hands: matched hands of the right side; the errors below are theirs.
        counts: detection by side, and "both".
        absolute, root_relative, aligned: mean joint error (MPJPE, root-relative MPJPE, PA-MPJPE).
        auc_absolute, auc_root_relative, auc_aligned: area under the PCK curve from 0 to 50 mm.
        per_joint: (21,) mean absolute error.
        per_joint_root_relative: (21,) the same with the wrists put together.
        bone_bias: (20,) mean bone length minus the true one.
        bone_spread: standard deviation (m) of a bone's length within a track, mean over bones and tracks.
        jitter: mean distance of the estimated from the true acceleration, m/s².
        reliability: of `joint_std` against the absolute error; None without a hand.
        sides: by side, the mean absolute and root-relative errors.
        pck: fraction of the joints within 0, 1, … 50 mm, for the three alignments.
    """

    frames: int
    hands: int
    counts: dict[str, DetectionCounts]
    absolute: float
    root_relative: float
    aligned: float
    auc_absolute: float
    auc_root_relative: float
    auc_aligned: float
    per_joint: DoubleArray
    per_joint_root_relative: DoubleArray
    bone_bias: DoubleArray
    bone_spread: float
    jitter: float
    reliability: Calibration | None
    sides: dict[str, tuple[float, float]]
    pck: dict[str, DoubleArray]


class AccuracyMeter:
    """Takes frames one after the other with `add`; `result` may be asked for at any time."""

    def __init__(self) -> None:
        self._counts = {side: DetectionCounts() for side in Side}
        self._frames = 0
        self._predicted: list[FloatArray] = []
        self._truth: list[FloatArray] = []
        self._std: list[FloatArray] = []
        self._tracks: list[int] = []
        self._sides: list[Side] = []
        self._recent: dict[int, deque[tuple[int, FloatArray, FloatArray]]] = defaultdict(lambda: deque(maxlen=3))
        self._jitter: list[float] = []

    def add(self, scene: Scene, truth: Sequence[Hand]) -> list[tuple[HandEstimate, FloatArray]]:
        """Compare a scene with the true hands of its frame.

        Returns:
            The matched hands of the right side, each with its joints' absolute errors (21,) in metres.
        """
        self._frames += 1
        matching = match_hands(scene.hands, truth)
        count_frame(scene.hands, truth, matching, self._counts)
        matched = []
        for e, t in matching.pairs:
            hand = scene.hands[e]
            if hand.side is not truth[t].side:
                continue
            self._take(scene.stamp_ns, hand, truth[t].joints)
            matched.append((hand, np.linalg.norm(hand.joints - truth[t].joints, axis=1).astype(np.float32)))
        return matched

    def result(self) -> Accuracy:
        """The figures over all frames so far."""
        predicted, truth, std = (_stack(items) for items in (self._predicted, self._truth, self._std))
        errors = metrics.pose_errors(predicted, truth)
        bones = metrics.bone_length_errors(predicted, truth)
        both = DetectionCounts()
        for count in self._counts.values():
            both.add(count)
        alignments = {"absolute": errors.absolute, "root_relative": errors.root_relative, "aligned": errors.aligned}
        return Accuracy(
            frames=self._frames,
            hands=len(predicted),
            counts={**{side.value: count for side, count in self._counts.items()}, "both": both},
            absolute=metrics.mean_error(errors.absolute),
            root_relative=metrics.mean_error(errors.root_relative),
            aligned=metrics.mean_error(errors.aligned),
            auc_absolute=metrics.auc(errors.absolute),
            auc_root_relative=metrics.auc(errors.root_relative),
            auc_aligned=metrics.auc(errors.aligned),
            per_joint=metrics.per_joint(errors.absolute),
            per_joint_root_relative=metrics.per_joint(errors.root_relative),
            bone_bias=bones.mean(axis=0) if len(bones) else np.full(bones.shape[1], np.nan),
            bone_spread=self._bone_spread(predicted),
            jitter=float(np.mean(self._jitter)) if self._jitter else float("nan"),
            reliability=calibration(errors.absolute, std[..., 0]) if len(predicted) else None,
            sides={side.value: self._side(errors, side) for side in Side},
            pck={name: metrics.pck(error, np.arange(51) / 1000) for name, error in alignments.items()},
        )

    def _side(self, errors: metrics.PoseErrors, side: Side) -> tuple[float, float]:
        own = np.array([each is side for each in self._sides], dtype=bool)
        return metrics.mean_error(errors.absolute[own]), metrics.mean_error(errors.root_relative[own])

    def _take(self, stamp_ns: int, hand: HandEstimate, truth: FloatArray) -> None:
        self._predicted.append(hand.joints)
        self._truth.append(truth)
        self._std.append(hand.joint_std[:, None])
        self._tracks.append(hand.track_id)
        self._sides.append(hand.side)
        recent = self._recent[hand.track_id]
        if recent and not 0 < (stamp_ns - recent[-1][0]) * 1e-9 <= MAX_STEP:
            recent.clear()
        recent.append((stamp_ns, hand.joints, truth))
        if len(recent) == 3:
            stamps, joints, true_joints = zip(*recent, strict=True)
            times = (np.array(stamps) - stamps[0]) * 1e-9
            jitter = metrics.acceleration_error(np.stack(joints), np.stack(true_joints), times)
            self._jitter.append(float(jitter.mean()))

    def _bone_spread(self, predicted: DoubleArray) -> float:
        tracks = np.array(self._tracks)
        long_ones = [track for track in np.unique(tracks) if (tracks == track).sum() >= 3]
        if not long_ones:
            return float("nan")
        lengths = metrics.bone_lengths(predicted)
        return float(np.mean([lengths[tracks == track].std(axis=0).mean() for track in long_ones]))


class LatencyMeter:
    """Stage timings of scenes: percentiles in milliseconds and frames per second."""

    def __init__(self) -> None:
        self._stages: dict[str, list[float]] = defaultdict(list)

    def add(self, scene: Scene) -> None:
        """Take one scene's timings."""
        for name, milliseconds in scene.timings_ms.items():
            self._stages[name].append(milliseconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """Stage -> mean, p50, p95 in milliseconds."""
        return {
            name: {
                "mean": float(np.mean(values)),
                "p50": float(np.percentile(values, 50)),
                "p95": float(np.percentile(values, 95)),
            }
            for name, values in self._stages.items()
        }

    @property
    def frames_per_second(self) -> float:
        """Frames over the pipeline's own time (stage `total`), decoding and drawing left out; NaN without frames."""
        spent = sum(self._stages.get("total", []))
        return 1000.0 * len(self._stages["total"]) / spent if spent > 0 else float("nan")


def _stack(items: list[Any]) -> DoubleArray:
    if not items:
        return np.zeros((0, NUM_JOINTS, 3))
    return np.stack(items).astype(np.float64)
