"""Make the bundled, licence-free hand: `python scripts/make_hand_model.py [--output FILE]`.

Needs numpy, scipy, and scikit-image (only here). Writes an .npz in MANO's layout, metres.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from hand_anatomy import FINGERS, HandSurface, build_skeleton
from hand_correctives import pose_correctives
from hand_mesh import remesh
from hand_rig import PARENTS, joint_regressor, shape_space, skin_weights

OUTPUT = Path(__file__).resolve().parents[1] / "hand_pose_ros" / "hand_model" / "data" / "hand_model.npz"


def make(scale: float) -> dict[str, np.ndarray]:
    """All arrays of the model."""
    skeleton = build_skeleton()
    surface = HandSurface(skeleton)
    points, faces, tips = remesh(surface, [skeleton.tips[f] for f in FINGERS], scale)
    weights = skin_weights(skeleton, surface, points, faces)
    shapedirs, joint_dirs = shape_space(skeleton, points, weights)
    regressor = joint_regressor(points, shapedirs, skeleton.joints, joint_dirs)
    posedirs = pose_correctives(skeleton, surface, points, faces, weights)
    return {
        "v_template": (points * 1e-3).astype(np.float32),
        "faces": faces.astype(np.int16),
        "shapedirs": (shapedirs * 1e-3).astype(np.float32),
        "posedirs": (posedirs * 1e-3).astype(np.float16),
        "J_regressor": regressor.astype(np.float32),
        "weights": weights.astype(np.float32),
        "parents": np.array(PARENTS, dtype=np.int16),
        "hand_mean": np.zeros(45, dtype=np.float32),
        "tips": tips.astype(np.int16),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--scale", type=float, default=0.94, help="edge lengths")
    arguments = parser.parse_args()
    arrays = make(arguments.scale)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output, **arrays)
    size = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {len(arrays['v_template'])} vertices, {len(arrays['faces'])} faces, {size:.2f} MB")


if __name__ == "__main__":
    main()
