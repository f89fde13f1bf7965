"""The network as engines run it: the numbers of `model.KeypointFusion` from about half of the operators.

On a CPU an operator costs some 4 microseconds before it computes anything, and a plain export has a thousand. Here
normalisations are part of the layers before them, tokens are rows of one matrix, what is linear is done once for all
that share it, and the camera's maps are multiplied before points go through them. Parameters are those of the trained
network, or are computed from them; nothing here is trained.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.config import ALL_PARTS, CROP_SIZE
from hand_pose_ros.networks.keypoint_fusion.lean_aggregation import Shared, point_lengths
from hand_pose_ros.networks.keypoint_fusion.lean_stage import HEAT, LeanStage
from hand_pose_ros.networks.keypoint_fusion.model import KeypointFusion, spread
from hand_pose_ros.networks.keypoint_fusion.points import front_surface
from hand_pose_ros.networks.keypoint_fusion.stage import FusionStage
from hand_pose_ros.skeleton import NUM_JOINTS

# The cofactors of a 3x3 matrix, transposed, as its nine numbers m: m[first] * m[second] - m[third] * m[fourth].
_COFACTORS = (
    torch.tensor((4, 7, 1, 5, 8, 2, 3, 6, 0)),
    torch.tensor((8, 2, 5, 6, 0, 3, 7, 1, 4)),
    torch.tensor((5, 8, 2, 3, 6, 0, 4, 7, 1)),
    torch.tensor((7, 1, 4, 8, 2, 5, 6, 0, 3)),
)


class LeanOutput(NamedTuple):
    """joints, spread, presence_logit and side_logit of `KeypointFusionOutput`."""

    joints: Tensor
    spread: Tensor
    presence_logit: Tensor
    side_logit: Tensor


def lean(network: KeypointFusion, batch: int = 1) -> nn.Module:
    """The network for `batch` crops at a time; itself where a part is taken out that the lean form counts on."""
    config = network.config
    if config.stages and config.fusion == "keypoint" and config.parts == ALL_PARTS:
        return LeanKeypointFusion(network, batch).eval()
    return network


class LeanKeypointFusion(nn.Module):
    """`KeypointFusion` of keypoint fusion stages with all their parts; called as that one is."""

    grid: Tensor
    rays: Tensor
    ones: Tensor
    camera: Tensor
    camera_base: Tensor
    crop: Tensor
    turn: Tensor
    turn_base: Tensor
    angle: Tensor
    heat: Tensor

    def __init__(self, network: KeypointFusion, batch: int) -> None:
        super().__init__()
        assert network.rgb_branch is not None
        self.depth_branch, self.rgb_branch, self.presence = network.depth_branch, network.rgb_branch, network.presence
        self.heads = _one_convolution(network.depth_branch.heads.finals)
        stages = [stage for stage in network.stages if isinstance(stage, FusionStage)]
        self.stages = nn.ModuleList(LeanStage(stage, batch) for stage in stages)
        half, edge = CROP_SIZE / 2, 1 - 0.5 / (CROP_SIZE / 2)
        grid = network.grid.t()
        constants = {
            "grid": network.grid,
            "rays": torch.cat((grid, torch.ones(1, grid.shape[1])))[None].repeat(batch, 1, 1),
            "ones": torch.ones(batch, NUM_JOINTS, 1),
            # fx, fy, cx, cy -> the camera's matrix, row by row.
            "camera": _ones((4, 9), (0, 0), (1, 4), (2, 2), (3, 5)),
            "camera_base": _ones((9,), (8,)),
            # Crop pixel -> the crop's plane in -1..1.
            "crop": torch.tensor([[1 / half, 0, -edge], [0, 1 / half, -edge], [0, 0, 1]]),
            "heat": torch.tensor([HEAT, HEAT, 1]),
            # A crop's matrix, row by row -> cosine and sine of its angle, times its scale.
            "angle": _ones((9, 2), (0, 0), (4, 0), (3, 1)) - _ones((9, 2), (1, 1)),
            # Cosine and sine -> a rotation about z, row by row.
            "turn": _ones((2, 9), (0, 0), (0, 4), (1, 3)) - _ones((2, 9), (1, 1)),
            "turn_base": _ones((9,), (8,)),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(
        self, rgb: Tensor, depth: Tensor, center: Tensor, crop_matrix: Tensor, cube: Tensor, intrinsics: Tensor
    ) -> LeanOutput:
        """As `KeypointFusion.forward`."""
        has_rgb = (rgb.amax(dim=(1, 2, 3)) > 0).to(rgb.dtype)
        depth_features, depth_pooled = self.depth_branch.features(depth)
        rgb_features, rgb_pooled = self.rgb_branch.features(rgb)
        rgb_features = rgb_features * has_rgb[:, None, None, None]
        pooled = torch.cat((depth_pooled, rgb_pooled * has_rgb[:, None]), dim=1)
        depth_small = front_surface(depth)
        votes = awr.read_out(self.heads(depth_features), depth_small, self.grid)

        project, rotation = self._project(crop_matrix, intrinsics), self.rotation(crop_matrix)
        xyz = self._places(project, votes.joints, depth_small, center, cube)
        turned = rotation @ xyz
        valid = awr.foreground(depth_small)
        points, joints = turned[:, :, :-NUM_JOINTS] * valid, turned[:, :, -NUM_JOINTS:].transpose(1, 2)
        lengths, adjacency = point_lengths(points, valid)
        down = project.transpose(1, 2) * self.heat
        shared = Shared(
            depth_features=depth_features,
            rgb_features=rgb_features,
            rgb_rows=torch.relu(rgb_features).flatten(2).transpose(1, 2),
            points=points,
            valid=valid,
            weights=votes.weights,
            lengths=lengths,
            adjacency=adjacency,
            # An offset in the crop's axes is metres in the camera's, and then a place on the crop.
            project=(rotation * (cube / 2)[:, None]) @ down,
            project_base=center[:, None] @ down,
        )
        previous: Tensor | None = None
        for stage in self.stages:
            joints, previous = stage(shared, joints, previous)
        final = joints @ rotation
        first = xyz[:, :, -NUM_JOINTS:].transpose(1, 2)
        presence, side = self.presence(pooled).unbind(dim=1)
        return LeanOutput(final, spread(votes.variance, final - first, cube), presence, side)

    def _project(self, crop_matrix: Tensor, intrinsics: Tensor) -> Tensor:
        """(B, 3, 3): a point of the camera, in metres -> its place on the crop's plane in -1..1, homogeneous."""
        camera = (intrinsics @ self.camera + self.camera_base).reshape(-1, 3, 3)
        return self.crop @ crop_matrix @ camera

    def rotation(self, crop_matrix: Tensor) -> Tensor:
        """`coords.in_plane_rotation`."""
        parts = crop_matrix.flatten(1) @ self.angle
        unit = parts / torch.sqrt(parts.square().sum(dim=1, keepdim=True)).clamp(min=1e-12)
        return (unit @ self.turn + self.turn_base).reshape(-1, 3, 3)

    def _places(self, project: Tensor, joints: Tensor, depth_small: Tensor, center: Tensor, cube: Tensor) -> Tensor:
        """xyz_nl (B, 3, 1024 + 21) of the map's cells at their depth and of joints (B, 21, 3) uvd_nl."""
        flat = torch.cat((joints[..., :2], self.ones), dim=2).transpose(1, 2)
        rays = inverse(project) @ torch.cat((self.rays, flat), dim=2)
        depth = torch.cat((depth_small.flatten(2), joints[..., 2].unsqueeze(1)), dim=2)
        half, middle = cube[:, :, None] / 2, center[:, :, None]
        metres = rays * ((depth * half[:, 2:] + middle[:, 2:]) / rays[:, 2:])
        return (metres - middle) / half


def inverse(matrix: Tensor) -> Tensor:
    """`coords.invert_3x3`, all cofactors at once."""
    flat = matrix.flatten(1)
    first, second, third, fourth = (flat.index_select(1, places.to(flat.device)) for places in _COFACTORS)
    cofactors = first * second - third * fourth
    determinant = (flat[:, :3] * cofactors[:, ::3]).sum(dim=1, keepdim=True)
    return (cofactors / determinant).reshape(-1, 3, 3)


def _ones(shape: tuple[int, ...], *places: tuple[int, ...]) -> Tensor:
    """Zeros with a one at each place."""
    values = torch.zeros(shape)
    for place in places:
        values[place] = 1
    return values


def _one_convolution(layers: nn.ModuleList) -> nn.Conv2d:
    """1x1 convolutions of one map as one, their outputs one behind another."""
    found = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.bias is not None]
    weight = torch.cat([layer.weight for layer in found])
    joined = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    joined.weight = nn.Parameter(weight.detach().clone())
    joined.bias = nn.Parameter(torch.cat([layer.bias for layer in found if layer.bias is not None]).detach().clone())
    return joined
