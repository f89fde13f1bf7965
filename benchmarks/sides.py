"""How often one look from both sides tells the side: `python -m benchmarks.sides [--count 500] [--seed 990002]`.

Rendered crops of right hands, each looked at as it is and mirrored, as the pipeline does; chance is 50 %. The judge
that was learnt on this network's looks, and the deviations alone.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.samples import hand_crop_sample
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.estimator import DroppedHand, KeypointFusionEstimator
from hand_pose_ros.pipeline.sides import Judge, open_judge, side_evidence
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=990_002)
    options = parser.parse_args()
    config = PipelineConfig(max_depth=20.0)
    model = find_model(config.model)
    estimator = KeypointFusionEstimator(create_engine(model, config.engine), config)
    judges: dict[str, Judge] = {"judge": open_judge(model), "deviations alone": side_evidence}
    renderer, timer, told = Renderer(), StageTimer(), Counter[str]()
    losses: dict[str, list[float]] = {name: [] for name in judges}
    for index in range(options.count):
        sample = hand_crop_sample(renderer, np.random.default_rng([options.seed, index]), SyntheticConfig())
        if sample.negative:
            continue
        frame = Frame(0, "camera", sample.intrinsics, sample.color, sample.depth)
        try:
            right, left = (estimator.estimate(frame, sample.center, s, timer) for s in (Side.RIGHT, Side.LEFT))
        except DroppedHand as drop:
            told[drop.reason] += 1
            continue
        told["looks"] += 1
        for name, judge in judges.items():
            evidence = judge(right, left)
            told[name] += evidence > 0
            losses[name].append(float(np.logaddexp(0.0, -evidence)))
    for name, loss in losses.items():
        share = 100 * told[name] / told["looks"]
        print(f"{name}: looks {told['looks']}, side told rightly {share:.1f} %, cross entropy {np.mean(loss):.3f}")
    print(f"counts: {dict(told)}")


if __name__ == "__main__":
    main()
