"""The published network as one ONNX graph with our inputs and outputs: its whole pre-processing is in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion.authors.model import AuthorsKeypointFusion
from hand_pose_ros.networks.keypoint_fusion.check import HandCheck
from hand_pose_ros.networks.keypoint_fusion.config import CROP_SIZE
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, pixel_grid, to_camera, uvd_to_xyz
from hand_pose_ros.networks.keypoint_fusion.export import (
    INTERFACE,
    MIN_STD,
    OUTPUT_NAMES,
    DeployedHand,
    example_inputs,
)
from hand_pose_ros.networks.keypoint_fusion.model import spread
from hand_pose_ros.networks.keypoint_fusion.preprocess import normalise_depth, normalise_rgb
from hand_pose_ros.networks.onnx_file import weights_sha256, write_graph
from hand_pose_ros.skeleton import KPT_FUSION_TO_CANONICAL

POINTS: Final = 1024
MILLIMETRES: Final = 1000.0
# numpy.isclose to 1, by which the published code tells background.
_CLOSE: Final = 1.001e-5


def authors_depth(depth: Tensor, center: Tensor, cube: Tensor) -> Tensor:
    """Depth (B, 128, 128), 0 = none -> (B, 1, 128, 128) in [-1, 1], 1 = background, as the published loaders do.

    Readings in front of the cube move to its near face, those behind are background. Left out: the published code also
    makes background of the pixels that equal the crop's greatest depth.
    """
    normalised = (depth - center[:, 2, None, None]) / (cube[:, 2, None, None] / 2)
    seen = (depth > 0) & (normalised <= 1)
    return torch.where(seen, normalised.clamp(min=-1), torch.ones_like(normalised))[:, None]


class DeployedAuthors(nn.Module):
    """A published network behind the inputs and outputs of `DeployedKeypointFusion`; see `forward` there.

    Metres become millimetres, RGB becomes BGR, the crop matrix is taken to the published half pixel, 1024 points are
    drawn from the depth crop, and the joints come out in the canonical order. The crop must be upright (no rotation in
    `crop_matrix`), as published.

    The published points are drawn at random for every picture. Here one random order of the crop's pixels is drawn
    once, and the first 1024 with a reading are taken in it, over again where there are fewer: as good a draw, and the
    same picture gives the same hand.

    Args:
        network: put into eval mode.
        check: tells score and side. The published network knows neither: without a check both are always 1.
    """

    order: Tensor
    grid: Tensor
    to_canonical: Tensor

    def __init__(self, network: AuthorsKeypointFusion, check: HandCheck | None = None) -> None:
        super().__init__()
        self.network = network.eval()
        self.check = check.eval() if check is not None else None
        order = torch.randperm(CROP_SIZE * CROP_SIZE, generator=torch.Generator().manual_seed(0))
        self.register_buffer("order", order.to(torch.float32))
        self.register_buffer("grid", pixel_grid(CROP_SIZE))
        self.register_buffer("to_canonical", torch.from_numpy(KPT_FUSION_TO_CANONICAL.copy()))

    def forward(
        self, rgb: Tensor, depth: Tensor, center: Tensor, crop_matrix: Tensor, cube: Tensor, intrinsics: Tensor
    ) -> DeployedHand:
        """As `DeployedKeypointFusion.forward`, of the same units."""
        color = normalise_rgb(rgb)
        seen = authors_depth(depth, center, cube)
        matrix = authors_matrix(crop_matrix)
        geometry = CropGeometry(center * MILLIMETRES, matrix, cube * MILLIMETRES, intrinsics)
        points = self.points(seen, geometry)
        output = self.network(color[:, [2, 1, 0]], seen, points, *geometry)
        joints = to_camera(output.joints, geometry) / MILLIMETRES
        std = spread(output.variance, output.joints - output.initial_xyz, cube).clamp(min=MIN_STD)
        score = side = torch.ones_like(depth[:, 0, 0])
        if self.check is not None:
            presence, right = self.check(color, normalise_depth(depth, center, cube))
            score, side = torch.sigmoid(presence), torch.sigmoid(right)
        return DeployedHand(joints[:, self.to_canonical], std[:, self.to_canonical], score, side)

    def points(self, depth: Tensor, geometry: CropGeometry) -> Tensor:
        """1024 points (B, 1024, 3) xyz_nl of a normalised crop (B, 1, 128, 128); zeros where it is empty."""
        flat = depth.flatten(1)
        valid = flat < 1 - _CLOSE
        places = torch.where(valid, self.order, torch.full_like(self.order, 2.0 * CROP_SIZE * CROP_SIZE))
        first = places.topk(POINTS, dim=1, largest=False, sorted=True).indices
        count = valid.to(torch.int64).sum(dim=1, keepdim=True)
        # clamp would do, but TensorRT clips no whole numbers.
        most, least = torch.full_like(count, POINTS), torch.ones_like(count)
        turn = torch.arange(POINTS, device=depth.device)[None] % count.minimum(most).maximum(least)
        chosen = first.gather(1, turn)
        uv = self.grid[chosen]
        uvd = torch.cat((uv, flat.gather(1, chosen)[..., None]), dim=2)
        return uvd_to_xyz(uvd, geometry, pixel_centre=0.0) * (count > 0).to(depth.dtype)[..., None]


def authors_matrix(crop_matrix: Tensor) -> Tensor:
    """Our crop matrix (B, 3, 3), integer = pixel centre, as the published code counts: integer = pixel border."""
    half = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]], device=crop_matrix.device)
    back = torch.tensor([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]], device=crop_matrix.device)
    return half @ crop_matrix @ back


def export_authors(
    network: AuthorsKeypointFusion,
    path: Path,
    metadata: Mapping[str, str],
    check: HandCheck | None = None,
    batch: int = 1,
) -> Path:
    """Write a published network as ONNX (opset 17, static shapes), its outputs described as they are.

    Raises:
        ImportError: the `onnx` package is missing.
    """
    describe = {
        **INTERFACE,
        "output.joint_std": "(1,21) float32 metres per axis, NOT calibrated: scatter of the votes and what the stages "
        "changed",
    }
    if check is None:
        describe["output.score"] = describe["output.side"] = (
            "(1,) float32, always 1: the published network does not tell; export with --check"
        )
    about = {
        "model": "kpt_fusion",
        "variant": "authors",
        "size": network.config.size,
        "stages": str(network.config.stages),
        "weights_sha256": weights_sha256(network),
        **describe,
        **metadata,
    }
    return write_graph(DeployedAuthors(network, check), path, example_inputs(), OUTPUT_NAMES, about, batch)
