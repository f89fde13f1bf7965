"""How well the wrist's distance is told: `python -m benchmarks.lifting [--count 110] [--seed 7] [--json FILE]`.

Rendered meetings of hands with the noise of random depth sensors; in place of a network of two hands stands the truth
with independent Gaussian noise on each joint's pixel and depth behind the wrist. Three ways: by the depth image, by
places and the lengths of bones, by the joints' shape in space. Hands differ in size, which only the depth image and the
shape know.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hand_pose_ros.datasets.synthetic.interaction import plan_meeting
from hand_pose_ros.datasets.synthetic.plans import PictureWish, Plan, carry_out
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.samples import sense
from hand_pose_ros.datasets.synthetic.sensor import sample_sensor
from hand_pose_ros.datasets.synthetic.spec import Rendered, SceneSpec, SyntheticConfig
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.lifting import read_depth, root_from_bones, root_from_depth, root_from_shape
from hand_pose_ros.pipeline.scene_estimator import mean_hand
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# Pixels of the image and metres.
NOISES = ((0.0, 0.0), (3.0, 0.012), (6.0, 0.02))
LIMITS = (0.15, 2.0)


@dataclass(frozen=True)
class Seen:
    """One hand (21, 3) and what its camera's depth sensor gives."""

    joints: DoubleArray
    camera: Intrinsics
    depth: FloatArray


def _plan(rng: np.random.Generator, config: SyntheticConfig) -> Plan[tuple[SceneSpec, Rendered]]:
    spec = yield from plan_meeting(rng, config)
    rendered: Rendered = yield PictureWish(spec, spec.camera)
    return spec, rendered


def seen_hands(count: int, seed: int) -> Iterator[Seen]:
    """The hands of `count` meetings that are wholly in front of the camera."""
    config, renderer = SyntheticConfig(), Renderer()
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        spec, rendered = carry_out([_plan(rng, config)], renderer)[0]
        depth = sense(rendered, rng, sample_sensor(rng), spec.camera, spec.camera.fx).astype(np.float32)
        for hand in spec.hands:
            if (hand.joints[:, 2] > 0.05).all():
                yield Seen(hand.joints.astype(np.float64), spec.camera, depth)


def errors(hand: Seen, pixels: float, metres: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Of the wrist's depth: by the depth image in metres (NaN: none given), by bones and by shape as parts of it."""
    noise = rng.normal(0.0, metres, (21, 3))
    noise[0] = 0.0
    shape = hand.joints - hand.joints[0] + noise
    uv = project(hand.joints, hand.camera) + rng.normal(0.0, pixels, (21, 2))
    relative, depth_std = shape[:, 2], np.full(21, max(metres, 0.004))
    lengths, _ = mean_hand()
    bones = root_from_bones(uv, relative, lengths, hand.camera, depth_std)
    by_shape = root_from_shape(uv, shape, hand.camera, np.full(21, max(pixels, 1.0)))
    measured = root_from_depth(read_depth(hand.depth, uv, LIMITS), relative, depth_std, bones)
    z = float(hand.joints[0, 2])
    return np.nan if measured is None else measured.z - z, bones.z / z - 1, by_shape.z / z - 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=110)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    hands, rows = list(seen_hands(options.count, options.seed)), []
    for pixels, metres in NOISES:
        rng = np.random.default_rng(options.seed)
        found = np.array([errors(hand, pixels, metres, rng) for hand in hands])
        depth, bones, shape = (np.nanpercentile(np.abs(column), (50, 80)) for column in found.T)
        missing = float(np.isnan(found[:, 0]).mean())
        name = f"{pixels:g} px, {metres * 1e3:g} mm"
        rows.append((name, *(1e3 * depth), 100 * missing, *(100 * bones), *(100 * shape)))
    columns = ("noise", "depth, median mm", "80 %", "none %", "bones, median %", "80 %", "shape, median %", "80 %")
    table = Table(f"The wrist's distance, {len(hands)} hands", columns, tuple(rows))
    print(table.text())
    if options.json:
        Report("Lifting", (table,), {}).write(options.json.parent, options.json.stem)


if __name__ == "__main__":
    main()
