"""The network as one ONNX graph: bytes and metres in, joints in camera metres out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion.check import HandCheck
from hand_pose_ros.networks.keypoint_fusion.config import CROP_SIZE
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, to_camera
from hand_pose_ros.networks.keypoint_fusion.lean import lean
from hand_pose_ros.networks.keypoint_fusion.model import KeypointFusion
from hand_pose_ros.networks.keypoint_fusion.preprocess import normalise_depth, normalise_rgb
from hand_pose_ros.networks.onnx_file import weights_sha256, write_graph
from hand_pose_ros.skeleton import NUM_JOINTS

INPUT_NAMES: Final = ("rgb", "depth", "center", "crop_matrix", "cube", "intrinsics")
OUTPUT_NAMES: Final = ("joints", "joint_std", "score", "side")
# Inputs and outputs as they stand in every file's metadata.
INTERFACE: Final[Mapping[str, str]] = {
    "joint_order": "canonical: wrist, then thumb, index, middle, ring, little, each base to tip",
    "input.rgb": "(1,128,128,3) uint8 RGB crop of a right (or mirrored left) hand; all 0 = no colour",
    "input.depth": "(1,128,128) float32 metres, 0 = no reading",
    "input.center": "(1,3) float32 metres, centre of the hand's cube in the camera frame",
    "input.crop_matrix": "(1,3,3) float32, full-image pixel to crop pixel, integer = pixel centre",
    "input.cube": "(1,3) float32 metres, edges of the cube",
    "input.intrinsics": "(1,4) float32 fx, fy, cx, cy pixels of the full image",
    "output.joints": "(1,21,3) float32 metres, camera optical frame",
    "output.joint_std": "(1,21) float32 metres per axis, calibrated",
    "output.score": "(1,) float32, probability that the crop is centred on a hand",
    "output.side": "(1,) float32, probability that it is the expected (right) side",
}
# A standard deviation below this is not believable of any depth camera.
MIN_STD: Final = 5e-4


class DeployedHand(NamedTuple):
    """joints (B, 21, 3) camera metres, joint_std (B, 21) metres, score (B,) and side (B,) probabilities."""

    joints: Tensor
    joint_std: Tensor
    score: Tensor
    side: Tensor


class DeployedKeypointFusion(nn.Module):
    """The network with its input normalisation, its decoding to metres and the calibration of its spread.

    Args:
        network: a trained `KeypointFusion`, or `lean.lean` of one; it is put into eval mode.
        std_scale, std_bias: joint_std = spread * scale + bias; a number, or one per joint (21,).
        check: tells score and side in place of the network's own two logits.
    """

    std_scale: Tensor
    std_bias: Tensor

    def __init__(
        self,
        network: nn.Module,
        std_scale: float | Tensor = 1.0,
        std_bias: float | Tensor = 0.0,
        check: HandCheck | None = None,
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.check = check.eval() if check is not None else None
        for name, value in (("std_scale", std_scale), ("std_bias", std_bias)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32).expand(NUM_JOINTS).clone())

    def forward(
        self, rgb: Tensor, depth: Tensor, center: Tensor, crop_matrix: Tensor, cube: Tensor, intrinsics: Tensor
    ) -> DeployedHand:
        """One crop.

        Args:
            rgb: (1, 128, 128, 3) uint8 RGB; all zero where there is no colour.
            depth: (1, 128, 128) float32 metres, 0 = no reading.
            center, cube: (1, 3) metres. crop_matrix: (1, 3, 3) full-image pixel -> crop pixel.
            intrinsics: (1, 4) fx, fy, cx, cy of the full image.
        """
        color, normalised = normalise_rgb(rgb), normalise_depth(depth, center, cube)
        output = self.network(color, normalised, center, crop_matrix, cube, intrinsics)
        joints = to_camera(output.joints, CropGeometry(center, crop_matrix, cube, intrinsics))
        std = (output.spread * self.std_scale + self.std_bias).clamp(min=MIN_STD)
        presence, side = output.presence_logit, output.side_logit
        if self.check is not None:
            presence, side = self.check(color, normalised)
        return DeployedHand(joints, std, torch.sigmoid(presence), torch.sigmoid(side))


def example_inputs() -> dict[str, Tensor]:
    """Inputs of the right shapes and types, a hand-sized cube 0.6 m ahead of a 640x480 camera."""
    scale = CROP_SIZE / (0.25 * 600 / 0.6)
    matrix = torch.tensor([[scale, 0, 63.5 - scale * 319.5], [0, scale, 63.5 - scale * 239.5], [0, 0, 1]])
    return {
        "rgb": torch.full((1, CROP_SIZE, CROP_SIZE, 3), 128, dtype=torch.uint8),
        "depth": torch.full((1, CROP_SIZE, CROP_SIZE), 0.6),
        "center": torch.tensor([[0.0, 0.0, 0.6]]),
        "crop_matrix": matrix[None],
        "cube": torch.full((1, 3), 0.25),
        "intrinsics": torch.tensor([[600.0, 600.0, 319.5, 239.5]]),
    }


def export_onnx(
    network: KeypointFusion,
    path: Path,
    metadata: Mapping[str, str],
    std_scale: float | Tensor = 1.0,
    std_bias: float | Tensor = 0.0,
    check: HandCheck | None = None,
    batch: int = 1,
) -> Path:
    """Write the deployed network (opset 17, static shapes) with its metadata.

    Args:
        network: trained default variant, on the CPU; left in eval mode.
        path: the .onnx file to write.
        metadata: strings for the file (name, version, training command, measured error ...). Added here: the
            inputs and outputs with units, size, and `weights_sha256`.
        std_scale, std_bias, check: see `DeployedKeypointFusion`.
        batch: hands in one run.

    Raises:
        ImportError: the `onnx` package is missing.
    """
    deployed = DeployedKeypointFusion(lean(network.eval(), batch), std_scale, std_bias, check)
    about = {**_description(network), **metadata}
    return write_graph(deployed, path, example_inputs(), OUTPUT_NAMES, about, batch)


def _description(network: KeypointFusion) -> dict[str, str]:
    taken_out = [name for name, present in asdict(network.config.parts).items() if not present]
    return {
        "model": "kpt_fusion",
        "size": network.config.size,
        "stages": str(network.config.stages),
        "fusion": network.config.fusion,
        **({"without": ", ".join(taken_out)} if taken_out else {}),
        "weights_sha256": weights_sha256(network),
        **INTERFACE,
    }
