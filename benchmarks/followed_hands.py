"""Speed and errors of the three models on hands that are followed, one and two of them: `python -m
benchmarks.followed_hands [--frames 90] [--seeds 2] [--models NAME ...] [--json FILE]`.

Rendered recordings: one hand, one that holds an object, both (facing, fast, seen from the person's own head, the left
one coming in late, both at one object). Networks of two hands run as they are, and with the whole network at every
frame (`tracking.whole_look_period` 1). CPU time of one thread, reading not included; a hand is found within 10 cm of a
true one of its side, and invented where there is none so near.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.depth_fit import MIDDLE, NEAR, Recording, recordings
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.metrics import mean_error, pose_errors
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.types import DoubleArray, HandEstimate, Scene

FIRST_SEED: Final = 9100
KINDS: Final[Sequence[Mapping[str, Any]]] = (
    {},
    {"held_object": True},
    {"hands": "both"},
    {"hands": "both", "pace": 0.25},
    {"hands": "both", "view": "egocentric"},
    {"hands": "both", "second_enters": 0.5},
    {"hands": "both", "together": True},
)
COLUMNS: Final = (
    *("model", "whole network", "found %", "wrong side", "invented", "absolute", "p95", "root-relative", "PA"),
    *("1 hand: mean", "p50", "2 hands: mean", "p50", "p95 of all"),
)


@dataclass
class Outcome:
    """What came of all recordings: joints found and true (21, 3) metres, milliseconds by how many hands were given."""

    found: list[DoubleArray] = field(default_factory=list)
    true: list[DoubleArray] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    milliseconds: dict[int, list[float]] = field(default_factory=dict)

    def watch(self, recording: Recording, config: PipelineConfig) -> None:
        """Run the pipeline over a recording."""
        pipeline = Pipeline(config)
        for frame, truth in recording:
            start = time.thread_time()
            scene = pipeline.process(frame)
            spent = 1e3 * (time.thread_time() - start)
            self.milliseconds.setdefault(len(scene.hands), []).append(spent)
            self.counts["truths"] += len(truth.hands)
            for hand in scene.hands:
                self._take(hand, truth)

    def _take(self, hand: HandEstimate, truth: Scene) -> None:
        near = [true for true in truth.hands if np.linalg.norm((hand.joints - true.joints)[MIDDLE]) < NEAR]
        own = [true for true in near if true.side is hand.side]
        self.counts["found" if own else "wrong side" if near else "invented"] += 1
        if own:
            self.found.append(hand.joints.astype(np.float64))
            self.true.append(own[0].joints.astype(np.float64))

    def row(self) -> tuple[object, ...]:
        """Of the table below, from "found" on; errors in mm."""
        errors, counts = pose_errors(np.array(self.found), np.array(self.true)), self.counts
        means = (mean_error(errors.absolute), np.percentile(errors.absolute, 95))
        shapes = (mean_error(errors.root_relative), mean_error(errors.aligned))
        times = [np.array(self.milliseconds.get(hands, [np.nan])) for hands in (1, 2)]
        every = np.concatenate(list(map(np.array, self.milliseconds.values())))
        return (
            100.0 * counts["found"] / counts["truths"],
            *(counts["wrong side"], counts["invented"]),
            *(1e3 * float(value) for value in (*means, *shapes)),
            *(float(value) for spent in times for value in (spent.mean(), np.median(spent))),
            float(np.percentile(every, 95)),
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--seeds", type=int, default=2)
    models = ["handformer2t_lite", "kpt_fusion_lite", "keypoint_transformer_lite"]
    parser.add_argument("--models", nargs="+", default=models)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    starts = range(FIRST_SEED, FIRST_SEED + 10 * len(KINDS), 10)
    made = [
        recording
        for first, kind in zip(starts, KINDS, strict=True)
        for recording in recordings(first, options.seeds, options.frames, kind)
    ]
    outcomes: dict[tuple[str, str], tuple[PipelineConfig, Outcome]] = {}
    for model in options.models:
        config = replace(PipelineConfig(), {"model": model, "threads": 1})
        followed = "followed" in Pipeline(config).engines()
        for period in (config.tracking.whole_look_period, 1) if followed else (1,):
            told = ("every frame" if period == 1 else f"1 of {period}") if followed else "–"
            outcomes[model, told] = (replace(config, {"tracking.whole_look_period": period}), Outcome())
    # In turns: the machine is not equally fast all the time.
    for recording in made:
        for config, outcome in outcomes.values():
            outcome.watch(recording, config)
    rows = [(Path(model).stem, told, *outcome.row()) for (model, told), (_, outcome) in outcomes.items()]
    truths = sum(len(truth.hands) for recording in made for _, truth in recording)
    table = Table(
        f"{truths} hands in {len(made)} recordings; errors in mm, CPU time in ms per frame", COLUMNS, tuple(rows)
    )
    print(table.text())
    if options.json:
        Report("Hands that are followed", (table,), {}).write(options.json.parent, options.json.stem)


if __name__ == "__main__":
    main()
