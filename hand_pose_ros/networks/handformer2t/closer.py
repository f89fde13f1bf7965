"""A closer look at each hand (ours): its own window of the picture, turned upright and shown as a right hand's.

In the whole crop hands are small, turned in all ways and of either side; a network that sees them so must learn each
finger many times. The pose found so far says where a hand is and which way it points. Seen through a window that is
turned and mirrored by it, all hands are alike, as Keypoint-Fusion's crops are, and one small network serves them all.
Each hand is looked at twice, as a right and as a left one: which of the two it looked like is the side.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.geometry.relief import RELIEF_LIMIT, RELIEF_UNIT
from hand_pose_ros.networks.backbones.decoder import MapDecoder
from hand_pose_ros.networks.backbones.pictures import COLORS
from hand_pose_ros.networks.backbones.resnet import ResNetEncoder
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE, HANDS, SCALE_FLOOR, Handformer2TConfig
from hand_pose_ros.networks.handformer2t.maps import DECODED_STRIDE, cell_centres, cell_middles, turn
from hand_pose_ros.skeleton import MCPS, NUM_JOINTS, WRIST

# The window's side over the longer side of the box of the hand's joints, upright. Poses found so far are a fifth too
# small.
MARGIN: Final = 1.7
# Of the crop's side; no window is smaller.
_SMALLEST: Final = 0.08
# A hand that points at the camera still has a direction: up.
_UP: Final = (0.0, -1e-4)
_HIDDEN: Final = 64
# Readings that are farther by so much (over 0.4 m) count half, and nearer ones by a third of it; so often is the mean
# looked for anew; joints it needs.
_AGREEMENT: Final = 0.02 / DEPTH_RANGE
_NEARER: Final = 3.0
_ROUNDS: Final = 4
_FEWEST: Final = 5.0
_PART: Final = 0.1
# The relief of the crop is in units of 15 cm, of the window in half of that, about the hand.
_SHARPER: Final = 2.0
# What a map of spreads says before it has learnt anything: u is a twentieth of the window.
_SPREAD: Final = -3.0


class Windows(NamedTuple):
    """Where windows (B, K) lie in their crops: a place q of the window, from -0.5 to 0.5, is `matrix` (B, K, 2, 2) q +
    `middle` (B, K, 2) of the crop, likewise from -0.5 to 0.5. `side` (B, K): of the crop's."""

    matrix: Tensor
    middle: Tensor
    side: Tensor

    @classmethod
    def of(cls, upright: Tensor, middle: Tensor, side: Tensor, mirrored: Tensor) -> Windows:
        """About `middle`, turned by `upright` (`upright_turn`), mirrored where `mirrored` (B, K) or (1, K) is -1."""
        flip = torch.stack((mirrored, torch.ones_like(mirrored)), dim=-1)
        return cls(upright.transpose(2, 3) * (side[..., None] * flip)[..., None, :], middle, side)

    def cells(self, size: int) -> Tensor:
        """Where in the crop the middles of size x size pixels of the windows are: (B, K, size, size, 2)."""
        axis = cell_middles(size).to(self.side)
        # By rows and columns: no constant of all pixels in a graph.
        along, down = self.matrix[..., 0], self.matrix[..., 1]
        columns = axis[:, None] * along[:, :, None, None] + self.middle[:, :, None, None]
        return columns + axis[:, None, None] * down[:, :, None, None]

    def to_crop(self, places: Tensor) -> Tensor:
        """(B, K, J, 2) of the windows in the crop."""
        return places @ self.matrix.transpose(2, 3) + self.middle[:, :, None]

    def to_window(self, places: Tensor) -> Tensor:
        """(B, K, J, 2) of the crop in the windows."""
        return (places - self.middle[:, :, None]) @ self.matrix / self.side[..., None, None].square()


def windows_of(poses: Tensor, mirrored: Tensor) -> Windows:
    """Windows about hands, their palms upright.

    Args:
        poses: (B, K, 21, 2 or 3) x, y of the crop from -0.5 to 0.5.
        mirrored: (B, K) or (1, K), -1 where the picture is mirrored, as for left hands, else 1.
    """
    upright = upright_turn(poses)
    turned = poses[..., :2] @ upright.transpose(2, 3)
    low, high = turned.amin(dim=2), turned.amax(dim=2)
    side = (MARGIN * (high - low).amax(dim=-1)).clamp(min=_SMALLEST)
    middle = (upright.transpose(2, 3) @ ((low + high) / 2)[..., None])[..., 0]
    return Windows.of(upright, middle, side, mirrored)


def upright_turn(poses: Tensor) -> Tensor:
    """The turns (B, K, 2, 2) of the picture after which the palms of hands (B, K, 21, 2 or 3) point up, (0, -1)."""
    places = poses[..., :2]
    along = places[:, :, list(MCPS)].mean(dim=2) - places[:, :, WRIST] + places.new_tensor(_UP)
    x, y = (along / along.square().sum(dim=-1, keepdim=True).sqrt()).unbind(dim=-1)
    return torch.stack((torch.stack((-y, x), dim=-1), torch.stack((-x, -y), dim=-1)), dim=-2)


def look_through(image: Tensor, windows: Windows, joints: Tensor, size: int) -> Tensor:
    """Windows of pictures: (B, K, C, size, size).

    Args:
        image: (B, C, S, S), colours and, behind them, the relief where there is one.
        windows: (B, K).
        joints: (B, K, 21, 2) of the crop: about the depths seen there the windows' relief is taken.
        size: of the windows in pixels.
    """
    seen = sampled(image, 2 * windows.cells(size), windows.side.shape[1]).transpose(1, 2)
    if image.shape[1] == COLORS:
        return seen
    depth, known = relief_at(image, joints)
    reference = (depth * known).sum(dim=-1) / known.sum(dim=-1).clamp(min=1.0)
    shown, measured = seen[:, :, COLORS], seen[:, :, COLORS + 1]
    # Between readings and holes both are mixed with 0 alike.
    shown = (_SHARPER * (shown - measured * reference[..., None, None])).clamp(-RELIEF_LIMIT, RELIEF_LIMIT)
    return torch.cat((seen[:, :, :COLORS], shown[:, :, None], measured[:, :, None]), dim=2)


def sampled(image: Tensor, grid: Tensor, count: int) -> Tensor:
    """Pictures (B, C, S, S) at the places of `count` windows (B, count, size, size, 2), from -1 to 1: (B, C, count,
    size, size), 0 outside."""
    batch, size = image.shape[0], grid.shape[2]
    # One above the other: the picture itself is not repeated.
    grid = grid.reshape(batch, count * size, size, 2)
    seen = functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return seen.reshape(batch, image.shape[1], count, size, size)


def relief_at(image: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """The relief (B, K, 21) of pictures (B, 5, S, S) at joints (B, K, 21, 2), and how much of it are readings, 0..1.

    Between pixels it is the mean of those that have a reading: no jumps, so that engines of any precision agree.
    """
    grid = 2 * joints
    there = functional.grid_sample(image[:, COLORS:], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    depth, known = there.transpose(1, 2).unbind(dim=2)
    return depth / known.clamp(min=_PART), known


def wrist_gap(image: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """How much farther the second hand's wrist is than the first's, over 0.4 m, by the depth image. The skin's
    thickness is the same for both hands.

    Args:
        image: (B, 5, S, S), colours and relief.
        poses: (B, 2, 21, 3).

    Returns:
        (B,) and whether enough joints of both hands have readings (B,).
    """
    place, enough = wrist_places(image, poses)
    return place[:, 1] - place[:, 0], enough[:, 0] & enough[:, 1]


def wrist_places(image: Tensor, poses: Tensor, scales: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How far the wrists' skin is behind the relief's zero, over 0.4 m, by the depth image.

    Each joint's reading less its depth behind the wrist is where the wrist is. Joints behind something else say
    otherwise and count little (weights of Cauchy's kind); what hides a hand is always nearer than it, so that nearer
    readings are believed less.

    Args:
        image: (B, 5, S, S), colours and relief.
        poses: (B, K, 21, 3).
        scales: (B, K, 21) how wrong the joints may be; None: all alike.

    Returns:
        (B, K) and whether enough joints have readings (B, K).
    """
    depth, there = relief_at(image, poses[..., :2])
    # What is cut off, is farther.
    known = there * ((RELIEF_LIMIT - depth.abs()) / _PART).clamp(0.0, 1.0)
    wrists = depth * (RELIEF_UNIT / DEPTH_RANGE) - poses[..., 2]
    # Over the largest, so that none is huge.
    sure = known if scales is None else known * (scales.amin(dim=-1, keepdim=True) / scales).square()
    weight = sure
    for _ in range(_ROUNDS):
        gap = wrists - (weight * wrists).sum(dim=-1, keepdim=True) / weight.sum(dim=-1, keepdim=True).clamp(min=1e-6)
        weight = sure / (1 + (torch.maximum(gap, -_NEARER * gap) / _AGREEMENT).square())
    place = (weight * wrists).sum(dim=-1) / weight.sum(dim=-1).clamp(min=1e-6)
    return place, known.sum(dim=-1) >= _FEWEST


class Look(NamedTuple):
    """What is seen in N windows.

    Attributes:
        pose: (N, 21, 3): x, y of the window from -0.5 to 0.5, depth behind the wrist over 0.4 m.
        scale: (N, 21) u, of the window's side.
        side: (N,) logit that it is a right hand, as it is shown.
        logits, depths, palms: (N, 21, h * w) maps of where joints are, of their depths, of how the palm faces.
        facing: (N,) mean of the last.
    """

    pose: Tensor
    scale: Tensor
    side: Tensor
    logits: Tensor
    depths: Tensor
    palms: Tensor
    facing: Tensor


class CloserLook(nn.Module):
    """Encoder, decoder and maps like those of the whole crop, for one hand in its window.

    Args:
        config: of the whole network.
    """

    centres: Tensor

    def __init__(self, config: Handformer2TConfig) -> None:
        super().__init__()
        widths = config.network_widths
        if widths.decoder is None:
            raise ValueError("closer: expected widths with a decoder")
        self.size = widths.crop
        channels = config.picture_channels
        self.encoder = ResNetEncoder(
            channels, widths.backbone, widths.blocks, widths.stem_kernel, widths.stem, widths.bottleneck
        )
        self.decoder = MapDecoder(widths.backbone, widths.decoder)
        self.maps = nn.Conv2d(widths.decoder[2], 4 * NUM_JOINTS, 1)
        self.judge = nn.Sequential(nn.Linear(widths.backbone[3], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))
        self.facing_gain = nn.Parameter(torch.tensor(4.0))
        nn.init.normal_(self.maps.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.maps.bias))
        self.register_buffer("centres", cell_centres(widths.crop // DECODED_STRIDE), persistent=False)

    def look(self, seen: Tensor) -> Look:
        """At windows (N, C, size, size)."""
        levels = self.encoder(seen.contiguous(memory_format=torch.channels_last))
        maps: Tensor = self.maps(self.decoder(*levels)[0]).float()
        maps = maps.reshape(maps.shape[0], maps.shape[1], maps.shape[2] * maps.shape[3])
        logits, depths, spreads, palms = maps.split_with_sizes((NUM_JOINTS,) * 4, dim=1)
        weights = torch.softmax(logits, dim=-1)
        depth = (weights * depths).sum(dim=-1, keepdim=True)
        facing = (weights * palms).sum(dim=-1).mean(dim=-1)
        pose = torch.cat((weights @ self.centres, depth), dim=-1)
        spread = torch.sigmoid((weights * spreads).sum(dim=-1) + _SPREAD)
        told = self.judge(levels[3].float().mean(dim=(2, 3)))[:, 0]
        side = told + self.facing_gain * facing * turn(pose.detach())
        return Look(pose, SCALE_FLOOR + (1 - SCALE_FLOOR) * spread, side, logits, depths, palms, facing)

    def forward(self, image: Tensor, poses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both hands looked at as right and as left ones.

        Args:
            image: (B, C, S, S) as the encoder of the crop reads it, at full size.
            poses: (B, 2, 21, 3) so far.

        Returns:
            poses (B, 2 hands, 2 sides, 21, 3) of the crop as of a right and as of a left hand, their scales (B, 2, 2,
            21), and the logits (B, 2) that each is a right hand.
        """
        batch, count = image.shape[0], 2 * HANDS
        # Not expanded: the shapes of a graph with that are not known beforehand.
        both = torch.stack((poses, poses), dim=2).reshape(batch, count, NUM_JOINTS, 3)
        pose, scale, seen = self.at(image, both, poses.new_tensor((1.0, -1.0) * HANDS)[None], count)
        side = seen.reshape(batch, HANDS, 2)
        shape = (batch, HANDS, 2, NUM_JOINTS)
        return pose.reshape(*shape, 3), scale.reshape(shape), side[..., 0] - side[..., 1]

    def at(self, image: Tensor, poses: Tensor, mirrored: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Each hand looked at once.

        Args:
            image: (B, C, S, S) as in `forward`.
            poses: (B, count, 21, 3) so far.
            mirrored: (B, count) or (1, count): -1 where a hand is looked at as a left one, else 1.
            count: of hands.

        Returns:
            poses (B, count, 21, 3) of the crop, their scales (B, count, 21), and the logits (B * count,) that each is
            a right hand, as it is shown.
        """
        batch = image.shape[0]
        windows = windows_of(poses, mirrored)
        seen = look_through(image, windows, poses[..., :2], self.size)
        found = self.look(seen.reshape(batch * count, -1, self.size, self.size))
        pose = found.pose.reshape(batch, count, NUM_JOINTS, 3)
        pose = torch.cat((windows.to_crop(pose[..., :2]), pose[..., 2:]), dim=-1)
        return pose, found.scale.reshape(batch, count, NUM_JOINTS) * windows.side[..., None], found.side
