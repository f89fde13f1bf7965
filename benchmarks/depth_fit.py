"""What laying the hand model onto the depth image is worth: `python -m benchmarks.depth_fit [--seeds 6]
[--first-seed 41] [--frames 80] [--models NAME ...] [--json FILE]`.

Rendered recordings (hands that are followed; bodies, objects, sensor noise) run through the pipeline with and without.
Hands on their side within 10 cm count. "Unsteady" is how much the error changes from frame to frame: what a robot that
follows the hand would tremble by.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.sequence import generate_sequence
from hand_pose_ros.datasets.synthetic.spec import SequenceConfig
from hand_pose_ros.evaluation.metrics import mean_error, pose_errors
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.skeleton import MCPS, Side
from hand_pose_ros.types import DoubleArray, Frame, Scene

NEAR: Final = 0.10
MIDDLE: Final = MCPS[2]
Recording = Sequence[tuple[Frame, Scene]]
_USUAL: Final[Mapping[str, Any]] = {}


@dataclass
class Outcome:
    """Of the hands on their side: joints found and true (21, 3) metres, the changes (21,) of the error between frames
    next to each other, and milliseconds per frame; of `truths` true hands."""

    found: list[DoubleArray] = field(default_factory=list)
    true: list[DoubleArray] = field(default_factory=list)
    changes: list[DoubleArray] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    truths: int = 0

    def watch(self, recording: Recording, config: PipelineConfig) -> None:
        """Run the pipeline over a recording."""
        pipeline, last = Pipeline(config), {}
        for frame, truth in recording:
            scene = pipeline.process(frame)
            self.milliseconds.append(scene.timings_ms["total"])
            self.truths += len(truth.hands)
            errors = self._take(scene, truth)
            self.changes += [np.linalg.norm(errors[side] - last[side], axis=1) for side in errors.keys() & last.keys()]
            last = errors

    def _take(self, scene: Scene, truth: Scene) -> dict[Side, DoubleArray]:
        errors = {}
        for true in truth.hands:
            for hand in scene.hands:
                gap = hand.joints.astype(np.float64) - true.joints
                if hand.side is true.side and np.linalg.norm(gap[MIDDLE]) < NEAR:
                    self.found.append(hand.joints.astype(np.float64))
                    self.true.append(true.joints.astype(np.float64))
                    errors[true.side] = gap
        return errors

    def row(self) -> tuple[float, ...]:
        """Of the table below; errors in mm."""
        found, true = np.array(self.found), np.array(self.true)
        errors = pose_errors(found, true)
        p95 = 1e3 * float(np.percentile(errors.absolute, 95))
        return (
            *(100.0 * len(found) / self.truths, 1e3 * mean_error(errors.absolute), p95),
            *(
                1e3 * mean_error(errors.root_relative),
                1e3 * mean_error(errors.aligned),
                1e3 * float(np.median(np.concatenate(self.changes))),
            ),
            float(np.median(self.milliseconds)),
        )


def recordings(first: int, seeds: int, frames: int, shown: Mapping[str, Any] = _USUAL) -> list[Recording]:
    """As `hand_pose synth bag --frames FRAMES --seed FIRST` and so on, with `shown` of `SequenceConfig`."""
    config = replace(SequenceConfig(), {"frames": frames, **shown})
    with closing(Renderer()) as renderer:
        return [list(generate_sequence(first + k, config, renderer)) for k in range(seeds)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=41)
    parser.add_argument("--frames", type=int, default=80)
    models = ["kpt_fusion_lite", "handformer2t_lite", "keypoint_transformer_lite"]
    parser.add_argument("--models", nargs="+", default=models)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    made = recordings(options.first_seed, options.seeds, options.frames)
    rows: list[tuple[object, ...]] = []
    for model in options.models:
        for fit in (False, True):
            outcome = Outcome()
            for recording in made:
                outcome.watch(recording, replace(PipelineConfig(), {"model": model, "threads": 1, "depth_fit": fit}))
            rows.append((Path(model).stem, "laid onto depth" if fit else "the network's", *outcome.row()))
    columns = ("model", "joints", "found %", "absolute", "p95", "root-relative", "PA", "unsteady", "ms per frame, p50")
    hands = sum(len(truth.hands) for recording in made for _, truth in recording)
    table = Table(f"{hands} hands in {len(made)} recordings, errors in mm", columns, tuple(rows))
    print(table.text())
    if options.json:
        Report("Hands laid onto the depth image", (table,), {}).write(options.json.parent, options.json.stem)


if __name__ == "__main__":
    main()
