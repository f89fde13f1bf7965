"""What a stage reads of its points, as engines compute it: all radii at once, linear layers before the gathering."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion.aggregation import FAR_AWAY, SoftAggregation
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE
from hand_pose_ros.networks.keypoint_fusion.desa import RADII, SAMPLES, LocalAggregation
from hand_pose_ros.networks.keypoint_fusion.lean_attention import linear
from hand_pose_ros.networks.keypoint_fusion.stage import GEOMETRY_GAMMA
from hand_pose_ros.skeleton import NUM_JOINTS

# Squared distance to a cell without a reading: beyond every radius.
BEYOND = FAR_AWAY**2
# Added to squared distances, as in `points.offsets`.
EPSILON = 1e-8
POINTS = MAP_SIZE * MAP_SIZE
CANDIDATES = POINTS + NUM_JOINTS
SCALES = len(RADII)


class Shared(NamedTuple):
    """What every stage sees; P = 1024 points, all xyz in the crop's axes, normalised.

    depth_features, rgb_features (B, C, 32, 32); rgb_rows (B, P, C) the colour features after their ReLU; points
    (B, 3, P); valid (B, 1, P) 0 or 1; weights (B, 21, P) AWR's, sum 1; lengths (B, 5, P): (x, |x|^2, 1) @ lengths are
    the squared distances of x to the points; adjacency the same times gamma plus one (Eq. 2); project (B, 3, 3) and
    project_base (B, 1, 3): xyz @ project + base is the place on the crop's plane, homogeneous.
    """

    depth_features: Tensor
    rgb_features: Tensor
    rgb_rows: Tensor
    points: Tensor
    valid: Tensor
    weights: Tensor
    lengths: Tensor
    adjacency: Tensor
    project: Tensor
    project_base: Tensor


def point_lengths(points: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """`Shared.lengths` and `Shared.adjacency` of points (B, 3, P) with valid (B, 1, P)."""
    squares = points.square().sum(dim=1, keepdim=True)
    ones = torch.ones_like(squares)
    adjacency = torch.cat((points * (-2 * GEOMETRY_GAMMA), ones * GEOMETRY_GAMMA, squares * GEOMETRY_GAMMA + 1), dim=1)
    return torch.cat((points * -2, ones, squares + ((1 - valid) * BEYOND + EPSILON)), dim=1), adjacency


class LeanSoft(nn.Module):
    """`FusionStage._pool` and `SoftAggregation`: every average over the points is a row of one product."""

    ones: Tensor
    falloff: Tensor

    def __init__(self, joint: nn.Linear, aggregation: SoftAggregation, batch: int) -> None:
        super().__init__()
        self.joint = joint
        channels = joint.out_features
        weight, bias = folded(aggregation.fuse, aggregation.norm)
        scales = weight[:, channels:].reshape(channels, SCALES, channels + 4)
        # (mean - joint * share) / radius, taken apart: what is linear in the mean, and in the joint.
        place = scales[:, :, channels : channels + 3] / torch.tensor(RADII)[:, None]
        around = torch.cat((scales[:, :, :channels], place, scales[:, :, channels + 3 :]), dim=2)
        self.fuse = linear(torch.cat((weight[:, :channels], around.flatten(1), -place.flatten(1)), dim=1), bias)
        self.register_buffer("ones", torch.ones(batch, 1, POINTS))
        self.register_buffer("falloff", -0.5 / torch.tensor(RADII)[:, None, None] ** 2)

    def forward(self, features: Tensor, given: Shared, joints: Tensor, squared: Tensor) -> Tensor:
        """features (B, C, 32, 32), joints (B, 21, 3) and their squared distances to the points (B, 21, P), beyond all
        radii where those are not valid -> (B * 21, C)."""
        channels = features.shape[1]
        near = torch.exp(squared[:, None] * self.falloff)
        values = torch.cat((features.flatten(2), given.points, self.ones), dim=1)
        sums = torch.cat((given.weights, near.flatten(1, 2)), dim=1) @ values.transpose(1, 2)
        pooled, around = torch.split(sums, [NUM_JOINTS, SCALES * NUM_JOINTS], dim=1)
        query = torch.relu(self.joint(torch.cat((pooled[:, :, :channels], joints), dim=2).flatten(0, 1)))
        mean = (around / (around[:, :, -1:] + 1)).reshape(-1, SCALES, NUM_JOINTS, channels + 4).transpose(1, 2)
        moved = mean[..., -1:] * joints[:, :, None]
        rows = query.shape[0]
        return torch.relu(self.fuse(torch.cat((query, mean.reshape(rows, -1), moved.reshape(rows, -1)), dim=1)))


class LeanBalls(nn.Module):
    """`FusionStage._pool` and DESA (`LocalAggregation`): what a candidate gives to a ball is linear in the candidate
    less the joint, so that it is computed once per candidate, and gathered."""

    order: Tensor
    offset: Tensor
    squares: Tensor
    place: Tensor
    bias: Tensor
    mix_bias: Tensor

    def __init__(self, joint: nn.Linear, desa: LocalAggregation, batch: int) -> None:
        super().__init__()
        self.joint = joint
        places = [folded(*pair) for pair in zip(desa.position, desa.position_norm, strict=True)]
        values = [folded(*pair) for pair in zip(desa.feature, desa.feature_norm, strict=True)]
        mixed = [folded(*pair) for pair in zip(desa.mix, desa.mix_norm, strict=True)]
        place = torch.cat([weight / radius for (weight, _), radius in zip(places, RADII, strict=True)])
        value = torch.cat([weight for weight, _ in values])
        bias = torch.cat([one + other for (_, one), (_, other) in zip(places, values, strict=True)])
        self.point = convolution(value, bias)
        self.query = linear(torch.cat((value, place), dim=1), bias)
        self.register_buffer("place", place.t().contiguous())
        self.register_buffer("bias", bias)
        self.mix = nn.ParameterList(weight for weight, _ in mixed)
        self.register_buffer("mix_bias", torch.cat([one for _, one in mixed]))
        self.fuse = linear(*folded(desa.fuse, desa.fuse_norm))
        # Rows of all candidates' values: sample by sample, candidate by candidate, radius by radius.
        self.register_buffer("order", torch.arange(CANDIDATES, dtype=torch.float32) * SCALES)
        sample = torch.arange(batch)[:, None] * CANDIDATES * SCALES
        self.register_buffer("offset", (sample + torch.arange(SCALES)).float()[:, :, None, None])
        self.register_buffer("squares", (torch.tensor(RADII, dtype=torch.float64) ** 2).float()[:, None, None])

    def forward(self, features: Tensor, given: Shared, joints: Tensor, squared: Tensor) -> Tensor:
        """As `LeanSoft.forward`."""
        batch, channels = features.shape[:2]
        values = features.flatten(2).transpose(1, 2)
        query = torch.relu(self.joint(torch.cat((given.weights @ values, joints), dim=2).flatten(0, 1)))
        own = self.query(torch.cat((query, joints.flatten(0, 1)), dim=1))
        rows = self.point(features).permute(0, 2, 3, 1).reshape(-1, SCALES * channels)
        rows = torch.addmm(rows, given.points.transpose(1, 2).flatten(0, 1), self.place)
        table = torch.cat((rows.reshape(batch, POINTS, -1), own.reshape(batch, NUM_JOINTS, -1)), dim=1)
        table, own = table.reshape(-1, channels), (own - self.bias).reshape(-1, 1, SCALES * channels)
        found = []
        for mix, chosen, mine in zip(
            self.mix, self._chosen(given, joints), torch.split(own, channels, dim=2), strict=True
        ):
            inner = torch.relu(table[chosen].reshape(-1, SAMPLES, channels) - mine)
            found.append(functional.linear(inner, mix).amax(dim=1))
        scales = torch.relu(torch.cat(found, dim=1) + self.mix_bias)
        return torch.relu(self.fuse(torch.cat((scales, query), dim=1)))

    def _chosen(self, given: Shared, joints: Tensor) -> tuple[Tensor, ...]:
        """For each radius, rows of all values (B * 21 * 64,); see `desa.ball_query`, whose choice it is."""
        away = given.points + (1 - given.valid) * FAR_AWAY
        places = torch.cat((away, joints.transpose(1, 2)), dim=2)
        squared = (joints[..., None] - places[:, None]).square().sum(dim=2)
        none = float(CANDIDATES * SCALES)
        hits = torch.where(squared[:, None] < self.squares, self.order, none)
        nearest = hits.topk(SAMPLES, dim=3, largest=False, sorted=True).values
        # The joint is in its own ball: there is a first one.
        filled = torch.where(nearest < none, nearest, nearest[..., :1])
        chosen = (filled + self.offset).long()
        return tuple(one.flatten() for one in torch.split(chosen, 1, dim=1))


def folded(layer: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (outputs, inputs) and bias (outputs,) of a layer, or 1x1 convolution, with the batch norm behind it."""
    assert isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) and isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double() if layer.bias is None else layer.bias.double() - norm.running_mean.double()
    weight = layer.weight.double().flatten(1) * scale[:, None]
    return weight.float().detach(), (shift * scale + norm.bias.double()).float().detach()


def convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A 1x1 convolution of maps with this weight (outputs, inputs)."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    layer.weight = nn.Parameter(weight[..., None, None].detach().clone())
    layer.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return layer
