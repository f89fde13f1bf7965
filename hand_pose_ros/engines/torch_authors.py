"""The published Keypoint-Fusion network on torch: the only engine its checkpoints run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.networks.keypoint_fusion.checkpoint import load_checkpoint
from hand_pose_ros.skeleton import KPT_FUSION_TO_CANONICAL
from hand_pose_ros.types import FloatArray


class AuthorsNetwork:
    """A checkpoint in the authors' layout, ready to run; uses a GPU where there is one.

    Raises:
        EngineError: no such file, or not such a checkpoint.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        try:
            network = load_checkpoint(path)
        except (OSError, ValueError) as error:
            raise EngineError(
                f"{error}; --checkpoint takes a file of the authors, our own trainings become an .onnx file with "
                "`hand_pose export`, for --model"
            ) from error
        if threads:
            torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self.description = f"torch {torch.__version__} on {self._device}"

    def __call__(
        self,
        rgb: FloatArray,
        depth: FloatArray,
        points: FloatArray,
        center: FloatArray,
        crop_matrix: FloatArray,
        cube: FloatArray,
        intrinsics: FloatArray,
    ) -> FloatArray:
        """Joints (21, 3) in millimetres of the (mirrored) camera frame, canonical order, from one sample.

        The arguments are the fields of `hand_pose_ros.datasets.authors_crop.AuthorsInput`.
        """
        arrays = (rgb, depth, points, center, crop_matrix, cube, intrinsics)
        with torch.inference_mode():
            batch = [torch.from_numpy(array[None]).to(self._device) for array in arrays]
            joints = self._network(*batch).joints[0].cpu().numpy()
        millimetres = joints * cube / 2 + center
        return np.asarray(millimetres[KPT_FUSION_TO_CANONICAL], dtype=np.float32)
