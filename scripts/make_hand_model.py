"""Make the bundled, licence-free hand: `python scripts/make_hand_model.py [--output FILE]`.

Needs numpy, scipy, and scikit-image (only here). Writes an .npz in MANO's layout, metres.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from hand_anatomy import FINGERS, FIRST_JOINT, HandSurface, Skeleton, build_skeleton, unit
from hand_correctives import pose_correctives
from hand_mesh import remesh
from hand_rig import PARENTS, joint_regressor, shape_space, skin_weights

OUTPUT = Path(__file__).resolve().parents[1] / "hand_pose_ros" / "hand_model" / "data" / "hand_model.npz"


# A hand at rest on its own weight: flexion of the three joints of each finger, degrees.
RELAXED = {
    "thumb": (0, 12, 14),
    "index": (18, 25, 12),
    "middle": (22, 30, 14),
    "ring": (25, 32, 15),
    "little": (28, 32, 15),
}


def relaxed_hand(skeleton: Skeleton) -> np.ndarray:
    """The model's mean pose, (45,) axis-angles."""
    pose = np.zeros((15, 3))
    for finger, angles in RELAXED.items():
        first = FIRST_JOINT[finger]
        ends = [*skeleton.joints[first : first + 3], skeleton.bone_ends[finger]]
        for k, angle in enumerate(angles):
            axis = np.cross(skeleton.dorsal[finger][k], unit(ends[k + 1] - ends[k]))
            pose[first + k - 1] = np.radians(angle) * axis
    return pose.reshape(45)


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
        "hand_mean": relaxed_hand(skeleton).astype(np.float32),
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
