"""Where a crop is centred in a benchmark: as the papers do it, as a data set allows it, or as a robot must.

- "truth": the mean of the true joints. The published figures on DexYCB use it; no robot has it.
- "given": what the data set tells at test time: a centre file, or the hand's box and its wrist's distance.
- "finder": our own hand finder on the whole picture, with the closer look that the pipeline takes.

The side is told in all three, as in the data sets' own benchmarks.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Final, Protocol

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.base import HandSample
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.estimator import DroppedHand, Estimator, NetworkHand
from hand_pose_ros.pipeline.pipeline import Finder, Pipeline
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, HandDetection

# Readings of the box farther than this from the wrist's distance (m) are not of the hand.
_REACH: Final = 0.12


def true_center(sample: HandSample) -> FloatArray | None:
    """Mean (3,) of the true joints in metres; None without truth."""
    return None if sample.joints is None else sample.joints.mean(axis=0, dtype=np.float32)


def given_center(sample: HandSample) -> FloatArray | None:
    """The centre (3,) in metres that the data set gives away: its own, or from box and wrist; None without either."""
    if sample.center is not None:
        return sample.center
    if sample.box is None or sample.wrist is None or sample.depth is None:
        return None
    box, z = sample.box, float(sample.wrist[2])
    rows = slice(max(int(box.y), 0), max(int(box.y + box.height), 0))
    columns = slice(max(int(box.x), 0), max(int(box.x + box.width), 0))
    readings = sample.depth[rows, columns]
    near = readings[(readings > 0) & (np.abs(readings - z) < _REACH)]
    if near.size:
        z = float(np.median(near))
    pixel = np.array([box.x + box.width / 2, box.y + box.height / 2])
    return back_project(pixel, np.asarray(z), sample.intrinsics).astype(np.float32)


class Predictor(Protocol):
    """Gives the joints of a sample's hand from one kind of centre.

    Attributes:
        center: the kind ("truth", "given", "finder").
    """

    center: str

    def predict(self, sample: HandSample) -> FloatArray | None:
        """Joints (21, 3) in metres, or None where no hand was found or no centre is known."""
        ...


class KnownCenter:
    """One look at the cube around a centre that is known, as the papers do it.

    Args:
        center: "truth" or "given".
        estimator: the network.
    """

    def __init__(self, center: str, estimator: Estimator) -> None:
        if center not in ("truth", "given"):
            raise ValueError(f"center: expected 'truth' or 'given', got {center!r}")
        self.center = center
        self._find = true_center if center == "truth" else given_center
        self._estimator = estimator

    def predict(self, sample: HandSample) -> FloatArray | None:
        """See `Predictor.predict`."""
        place = self._find(sample)
        if place is None:
            return None
        try:
            return self._estimator.estimate(sample.frame(), place, sample.side, StageTimer()).joints
        except DroppedHand:
            return None


class FoundCenter:
    """The whole pipeline on single pictures: hand finder, closer look, refusal of what is no hand.

    It gives its best hand, right or wrong. Only the side is told beforehand.

    Args:
        finder, estimator: the two networks.
        config: thresholds and cube; tracking is off, one hand is looked for.
    """

    center = "finder"

    def __init__(self, finder: Finder, estimator: Estimator, config: PipelineConfig) -> None:
        fixed = {
            "mesh": False,
            "depth_fit": False,
            "max_hands": 1,
            "tracking.enabled": False,
            "smoothing.enabled": False,
        }
        single = replace(config, fixed)
        self._told = _ToldSide(finder, estimator, single)
        self._configs = {side: replace(single, {"sides": side.value}) for side in Side}
        self._pipeline = Pipeline(single, self._told, self._told)

    def predict(self, sample: HandSample) -> FloatArray | None:
        """See `Predictor.predict`."""
        self._told.side = sample.side
        self._pipeline.reconfigure(self._configs[sample.side])
        self._pipeline.reset()
        hands = self._pipeline.process(sample.frame()).hands
        return max(hands, key=lambda hand: hand.score).joints if hands else None


class _ToldSide:
    """Finder and estimator of a pipeline that knows which side it is looking at."""

    def __init__(self, finder: Finder, estimator: Estimator, config: PipelineConfig) -> None:
        self._finder = finder
        self._estimator = estimator
        self._config = config
        self.side = Side.RIGHT

    @property
    def config(self) -> PipelineConfig:
        """The pipeline's; both networks follow it."""
        return self._config

    @config.setter
    def config(self, config: PipelineConfig) -> None:
        self._config = self._finder.config = self._estimator.config = config

    def find(self, frame: Frame, known: list[HandDetection], dropped: Counter[str]) -> list[HandDetection]:
        found = self._finder.find(frame, known, dropped)
        return [dataclasses.replace(detection, side=self.side, side_score=1.0) for detection in found]

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        if side is not self.side:
            raise DroppedHand("side_known")
        return self._estimator.estimate(frame, center, side, timer)
