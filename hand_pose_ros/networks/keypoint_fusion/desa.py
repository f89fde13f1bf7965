"""DESA, the local aggregation of IPNet (Ren et al., AAAI 2023): what lies around each joint, at three radii."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion.neighbours import (
    Neighbours,
    highest,
    keep_moments,
    moments,
    neighbours,
    normalise,
    normalised_linear,
    squared_distances,
)

# xyz_nl units: 12.5, 25 and 50 mm of a 250 mm cube.
RADII: Final = (0.1, 0.2, 0.4)
SAMPLES: Final = 64


def ball_query(candidates: Tensor, queries: Tensor, radius: float, samples: int) -> Tensor:
    """The first `samples` candidates (B, N, 3), in their order, nearer than `radius` to each query (B, J, 3).

    Returns indices (B, J, samples); free places repeat the first hit, or 0 where there is none.
    """
    squared = (queries[:, :, None] - candidates[:, None]).square().sum(dim=3)
    count = candidates.shape[1]
    order = torch.arange(count, device=candidates.device).expand(squared.shape)
    hits = torch.where(squared < radius * radius, order, count)
    nearest = hits.topk(min(samples, count), dim=2, largest=False, sorted=True).values
    first = torch.where(nearest[..., :1] < count, nearest[..., :1], 0)
    return torch.where(nearest < count, nearest, first)


class LocalAggregation(nn.Module):
    """Set abstraction about given joints; the joints are candidates too, so that every ball holds one at least."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position = nn.ModuleList(nn.Conv2d(3, channels, 1) for _ in RADII)
        self.position_norm = nn.ModuleList(nn.BatchNorm2d(channels) for _ in RADII)
        self.feature = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in RADII)
        self.feature_norm = nn.ModuleList(nn.BatchNorm2d(channels) for _ in RADII)
        self.mix = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in RADII)
        self.mix_norm = nn.ModuleList(nn.BatchNorm2d(channels) for _ in RADII)
        self.fuse = nn.Conv1d(channels * (len(RADII) + 1), channels, 1)
        self.fuse_norm = nn.BatchNorm1d(channels)

    def forward(self, features: Tensor, query: Tensor, points: Tensor, joints: Tensor) -> Tensor:
        """features (B, N, C) at points (B, N, 3), query (B, J, C) at joints (B, J, 3) -> (B, J, C)."""
        places = torch.cat((points, joints), dim=1)
        values = torch.cat((features, query), dim=1)
        # In training four neighbours in five are copies; in a graph for engines all shapes are fixed.
        scales = (self.once if self.training else self.padded)(places, values, joints, query)
        fused = self.fuse(torch.cat((*scales, query.transpose(1, 2)), dim=1))
        return torch.relu(self.fuse_norm(fused)).transpose(1, 2)

    def padded(self, places: Tensor, values: Tensor, joints: Tensor, query: Tensor) -> list[Tensor]:
        """Of each radius (B, C, J), as published: every ball holds `SAMPLES` candidates, some of them copies.

        The candidates, joints included, are values (B, N, C) at places (B, N, 3).
        """
        return [self._padded(index, places, values, joints, query) for index in range(len(RADII))]

    def _padded(self, index: int, places: Tensor, values: Tensor, joints: Tensor, query: Tensor) -> Tensor:
        radius = RADII[index]
        chosen = ball_query(places, joints, radius, SAMPLES)
        offset = (_take(places, chosen) - joints[:, :, None]) / radius
        difference = _take(values, chosen) - query[:, :, None]
        position = self.position_norm[index](self.position[index](offset.permute(0, 3, 1, 2)))
        feature = self.feature_norm[index](self.feature[index](difference.permute(0, 3, 1, 2)))
        mixed = self.mix_norm[index](self.mix[index](torch.relu(position + feature)))
        return torch.relu(mixed).amax(dim=3)

    def once(self, places: Tensor, values: Tensor, joints: Tensor, query: Tensor) -> list[Tensor]:
        """`padded` with the batch's statistics, each neighbour computed once (see `neighbours`)."""
        squared = squared_distances(places, joints)
        balls = [neighbours(squared, radius, SAMPLES) for radius in RADII]
        ball, candidate = torch.cat([each.ball for each in balls]), torch.cat([each.candidate for each in balls])
        offset = places.flatten(0, 1)[candidate] - joints.flatten(0, 1)[ball]
        # Rows of a table: its gradient is summed up faster than that of an index.
        difference = functional.embedding(candidate, values.flatten(0, 1))
        difference.sub_(functional.embedding(ball, query.flatten(0, 1)))
        sizes = [len(each.ball) for each in balls]
        pieces = zip(balls, torch.split(offset, sizes), torch.split(difference, sizes), strict=True)
        scales = [self._once(index, *piece) for index, piece in enumerate(pieces)]
        return [scale.reshape(query.shape).transpose(1, 2) for scale in scales]

    def _once(self, index: int, balls: Neighbours, offset: Tensor, difference: Tensor) -> Tensor:
        """One radius: (B * J, C)."""
        weight, total = balls.weight, len(balls.found) * SAMPLES
        place = normalised_linear(self.position[index], self.position_norm[index], offset / RADII[index], weight, total)
        feature = _linear(self.feature[index], difference)
        inner = torch.relu_(place + normalise(self.feature_norm[index], feature, weight, total))
        # relu(norm(x)) rises with x, or falls where the norm's factor is negative, so the maximum may come first.
        norm = self.mix_norm[index]
        assert isinstance(norm, nn.BatchNorm2d)
        sign = torch.where(norm.weight < 0, -1.0, 1.0)
        mixed = _linear(self.mix[index], inner, sign)
        mean, variance = moments(mixed, weight)
        keep_moments(norm, mean * sign, variance, total)
        factor = norm.weight.abs() * torch.rsqrt(variance + norm.eps)
        return torch.relu((highest(mixed, balls.found) - mean) * factor + norm.bias)


def _linear(convolution: nn.Module, rows: Tensor, sign: Tensor | None = None) -> Tensor:
    """A 1x1 convolution of rows (M, inputs), its outputs times `sign` (outputs,)."""
    assert isinstance(convolution, nn.Conv2d)
    weight, bias = convolution.weight[:, :, 0, 0], convolution.bias
    if sign is not None and bias is not None:
        weight, bias = weight * sign[:, None], bias * sign
    return functional.linear(rows, weight, bias)


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Rows of (B, N, C) at (B, J, K) -> (B, J, K, C)."""
    batch, joints, samples = index.shape
    flat = index.reshape(batch, joints * samples, 1).expand(-1, -1, values.shape[2])
    return values.gather(1, flat).reshape(batch, joints, samples, -1)
