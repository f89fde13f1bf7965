"""Maps of where each joint of each hand is, and the pose that they expect (ours; the paper has none).

Two tokens say little about a picture: where hands are is learnt slowly from poses alone, maps ask the encoder for it at
every cell. Their expectation (Sun et al. 2018, integral pose regression) is a pose at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.handformer2t.config import HANDS
from hand_pose_ros.skeleton import MCPS, NUM_JOINTS, WRIST

# Of the crop's pixels per cell: of maps of the encoder's second group, and of those of a decoder.
STRIDE: Final = 8
DECODED_STRIDE: Final = 4
_WIDTH: Final = 64


class JointMaps(nn.Module):
    """Maps (B, count, h * w) from the encoder's maps of strides 8, 16 and 32; h, w are those of stride 8.

    Args:
        channels: of these three.
        count: of the maps.
    """

    def __init__(self, channels: Sequence[int], count: int = HANDS * NUM_JOINTS) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Conv2d(inputs, _WIDTH, 1) for inputs in channels)
        self.middle = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1) for _ in range(2))
        self.output = nn.Conv2d(_WIDTH, count, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """levels: strides 8, 16, 32."""
        parts = [reduce(level) for reduce, level in zip(self.inputs, levels, strict=True)]
        # Factors, not sizes: the exported graph then has no shapes to work out.
        parts[1:] = [functional.interpolate(x, scale_factor=2.0**k) for k, x in enumerate(parts[1:], start=1)]
        features = torch.relu(self.middle[0](torch.relu(torch.stack(parts).sum(dim=0))))
        maps: Tensor = self.output(features + torch.relu(self.middle[1](features)))
        return maps.reshape(maps.shape[0], maps.shape[1], maps.shape[2] * maps.shape[3])


class DecodedMaps(nn.Module):
    """Maps (B, count, h * w) from a decoder's finest map: it has seen the deeper ones.

    Args:
        channels: of that map.
        count: of the maps.
    """

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.output = nn.Conv2d(channels, count, 1)
        # All cells alike at first.
        nn.init.normal_(self.output.weight, std=0.01)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """levels: that map alone, stride 4."""
        maps: Tensor = self.output(levels[0])
        return maps.reshape(maps.shape[0], maps.shape[1], maps.shape[2] * maps.shape[3])


def by_joint(maps: Tensor) -> Tensor:
    """Maps (B, 42, n), one for each joint of each hand, as (B, 2, 21, n)."""
    return maps.reshape(maps.shape[0], HANDS, NUM_JOINTS, maps.shape[2])


def cell_middles(cells: int) -> Tensor:
    """(cells,) of the middles of a side's cells, from -0.5 to 0.5 between its ends."""
    return (torch.arange(cells) + 0.5) / cells - 0.5


def cell_centres(cells: int) -> Tensor:
    """x, y (cells * cells, 2) of the middles of a square's cells, row by row, from -0.5 to 0.5 between its edges."""
    middle = cell_middles(cells)
    rows, columns = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack((columns.flatten(), rows.flatten()), dim=1)


class MapPrediction(NamedTuple):
    """pose (B, 2, 21, 3) expected by maps, their logits (B, 2, 21, h * w), and facing (B, 2): see `MapPose`. depths
    (B, 2, 21, h * w) and palms (B, 21, h * w) are the maps that the last coordinate and facing are means of."""

    pose: Tensor
    logits: Tensor
    facing: Tensor
    depths: Tensor
    palms: Tensor


class MapPose(nn.Module):
    """A pose from maps: the place each joint's map expects, and the mean over it of a map of depths.

    A third set of maps, the same for both hands, says at each joint whether palm or back is seen. Its mean over a
    hand, `facing`, is taught `turn` of the true joints, with its sign changed for left hands. That is local and alike
    in mirror images; with the turn of the joints found it gives the side, which tokens alone did not learn.

    Args:
        channels: of the encoder's maps of strides 8, 16, 32, or of a decoder's one of stride 4.
        cells: side of the first of them.
    """

    centres: Tensor

    def __init__(self, channels: Sequence[int], cells: int) -> None:
        super().__init__()
        count = (2 * HANDS + 1) * NUM_JOINTS
        self.maps: nn.Module = DecodedMaps(channels[0], count) if len(channels) == 1 else JointMaps(channels, count)
        self.register_buffer("centres", cell_centres(cells), persistent=False)

    def forward(self, levels: Sequence[Tensor]) -> MapPrediction:
        """levels: strides 8, 16, 32, or 4 alone."""
        joints = HANDS * NUM_JOINTS
        places, depths, palms = self.maps(levels).split((joints, joints, NUM_JOINTS), dim=1)
        logits, depths = by_joint(places), by_joint(depths)
        weights = torch.softmax(logits, dim=-1)
        depth = (weights * depths).sum(dim=-1, keepdim=True)
        facing = (weights * palms[:, None]).sum(dim=-1).mean(dim=-1)
        return MapPrediction(torch.cat((weights @ self.centres, depth), dim=-1), logits, facing, depths, palms)


def turn(pose: Tensor) -> Tensor:
    """How the palm is turned in the picture: the sine (...) of the angle at the wrist from the index's base to the
    little finger's, of poses (..., 21, 3). Its sign is one for right hands that show their palm and left ones that show
    their back, the other for the rest."""
    wrist = pose[..., WRIST, :2]
    first, last = pose[..., MCPS[0], :2] - wrist, pose[..., MCPS[3], :2] - wrist
    cross = first[..., 0] * last[..., 1] - first[..., 1] * last[..., 0]
    # The smallest number keeps gradients finite.
    return cross / (first.square().sum(dim=-1) * last.square().sum(dim=-1) + 1e-8).sqrt()
