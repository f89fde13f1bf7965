"""DexYCB's hand poses are coefficients in the PCA basis of the MANO files, which each user has to fetch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from hand_pose_ros.hand_model.mano_file import read_pose_basis
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, ManoParameters


class ManoPca:
    """Turns PCA coefficients about MANO's mean pose into axis-angles about the flat hand.

    Args:
        folder: with MANO_RIGHT.pkl and MANO_LEFT.pkl (or .npz); a side's file is read when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def parameters(
        self, side: Side, global_orient: FloatArray, coefficients: FloatArray, betas: FloatArray, transl: FloatArray
    ) -> ManoParameters:
        """Parameters in our convention from (3,), (45,) coefficients, (10,) and (3,).

        Raises:
            ModelFileError: the side's file is missing or has no pose basis.
        """
        mean, components = _basis(self._folder, side)
        pose = (mean + coefficients @ components).astype(np.float32)
        return ManoParameters(global_orient, pose, betas, transl)


@lru_cache(maxsize=4)
def _basis(folder: Path, side: Side) -> tuple[FloatArray, FloatArray]:
    name = f"MANO_{side.value.upper()}"
    npz = folder / f"{name}.npz"
    return read_pose_basis(npz if npz.is_file() else folder / f"{name}.pkl")
