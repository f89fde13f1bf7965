"""DexYCB's official result file: one line per sample, "image_id,x1,y1,z1,…,x21,y21,z21" in millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hand_pose_ros.datasets.dexycb import DexYcb
from hand_pose_ros.types import FloatArray


def write_results(path: Path, dataset: DexYcb, joints: FloatArray) -> Path:
    """Write the joints (N, 21, 3) metres of all N samples of a split; hands that were not found become zeros.

    Raises:
        ValueError: another number of samples.
    """
    if len(joints) != len(dataset):
        raise ValueError(f"result file: expected joints of {len(dataset)} samples, got {len(joints)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    millimetres = np.nan_to_num(joints.reshape(len(joints), -1).astype(np.float64) * 1000, nan=0.0)
    with path.open("w", encoding="ascii") as stream:
        for number, row in enumerate(millimetres):
            stream.write(",".join([str(dataset.image_id(number)), *(f"{value:.3f}" for value in row)]) + "\n")
    return path
