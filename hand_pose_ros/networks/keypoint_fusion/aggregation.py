"""What lies about each joint, from the depth crop's cells: soft and cheap for lite, by ball query for r18."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion.desa import RADII, LocalAggregation

# Beyond every ball: where cells without a reading are sent.
FAR_AWAY = 100.0


def norm_tokens(norm: nn.BatchNorm1d, tokens: Tensor) -> Tensor:
    """Batch norm over the last dimension of (B, N, C)."""
    flat: Tensor = norm(tokens.flatten(0, 1))
    return flat.reshape(tokens.shape)


class SoftAggregation(nn.Module):
    """Local aggregation about each joint at three radii (after DESA in IPNet), with soft neighbourhoods.

    For each radius the points' features, relative positions and number are averaged under Gaussian weights instead
    of being searched with a ball query and max-pooled.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fuse = nn.Linear(len(RADII) * (channels + 4) + channels, channels)
        self.norm = nn.BatchNorm1d(channels)

    def forward(
        self, features: Tensor, query: Tensor, points: Tensor, joints: Tensor, squared: Tensor, valid: Tensor
    ) -> Tensor:
        """features (B, C, P), query (B, 21, C), points (B, 3, P), squared distances (B, 21, P) -> (B, 21, C)."""
        pooled = [query]
        values = torch.cat((features, points), dim=1).transpose(1, 2)
        channels = features.shape[1]
        for radius in RADII:
            near = torch.exp(squared * (-0.5 / radius**2)) * valid
            count = near.sum(dim=2, keepdim=True)
            # The one keeps an empty neighbourhood at zero and one lone point from counting fully.
            mean = (near @ values) / (count + 1)
            share = count / (count + 1)
            relative = (mean[..., channels:] - joints * share) / radius
            pooled += [mean[..., :channels], relative, share]
        return torch.relu(norm_tokens(self.norm, self.fuse(torch.cat(pooled, dim=2))))


class BallAggregation(nn.Module):
    """DESA itself; cells without a reading are out of its reach. Same call as `SoftAggregation`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.desa = LocalAggregation(channels)

    def forward(
        self, features: Tensor, query: Tensor, points: Tensor, joints: Tensor, squared: Tensor, valid: Tensor
    ) -> Tensor:
        """features (B, C, P), query (B, 21, C), points (B, 3, P) -> (B, 21, C)."""
        places = points + (1 - valid) * FAR_AWAY
        aggregated: Tensor = self.desa(features.transpose(1, 2), query, places.transpose(1, 2), joints)
        return aggregated
