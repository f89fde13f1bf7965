"""A last look at each hand of a scene by its depth alone, with the eyes of Keypoint-Fusion (ours).

Keypoint-Fusion sees a hand in a cube of 25 cm: always of the size that it has, whatever its distance, without what lies
before and behind. Its depth branch has learnt hands so for longer than any network of two hands here. Where a depth
image tells how far the hands are that such a network has found, they can be shown to that branch in the same way; it
then learns the other hand too, which its own crops seldom hold. Without depth nothing changes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.geometry.relief import RELIEF_LIMIT, RELIEF_UNIT
from hand_pose_ros.networks.backbones.pictures import COLORS
from hand_pose_ros.networks.handformer2t.closer import Windows, sampled, upright_turn, wrist_places
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE, HANDS
from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.branch import Branch
from hand_pose_ros.networks.keypoint_fusion.config import BACKGROUND, CROP_SIZE, MAP_SIZE, PRESETS
from hand_pose_ros.networks.keypoint_fusion.coords import pixel_grid
from hand_pose_ros.networks.keypoint_fusion.points import front_surface
from hand_pose_ros.skeleton import NUM_JOINTS, WRIST

# Metres: the cube's edge, as Keypoint-Fusion's crops have it, and how far joints lie behind the skin.
CUBE: Final = 0.25
SKIN: Final = 0.012
# What scales of poses known without this look count, measured on validation scenes.
OTHERWISE: Final = 2.0
# Metres; a hand is not nearer.
_NEAREST: Final = 0.1
# A reading may be a little less than where the relief is cut off.
_CUT: Final = RELIEF_LIMIT - 1e-3
# Of the 32 x 32 cells, so many must show something.
_FEWEST: Final = 20
# Of the window's side: the smallest spread, and what is said before anything is learnt.
_FLOOR: Final = 1e-3
_SPREAD: Final = -3.0
_HIDDEN: Final = 64
# Of the picture, as of a right and as of a left hand.
_SIDES: Final = (1.0, -1.0)


class DepthWindows(NamedTuple):
    """Cubes about hands: how they lie in the crop, how far their middles are behind the relief's zero (B, K) metres,
    of which hands enough is known (B, K), and how many there are, K."""

    windows: Windows
    middle: Tensor
    known: Tensor
    hands: int

    def pose_of(self, votes: Tensor) -> Tensor:
        """Joints (B, K, 21, 3) uvd_nl of the cubes as poses of the crop."""
        depth = votes[..., 2:] - votes[:, :, WRIST : WRIST + 1, 2:]
        return torch.cat((self.windows.to_crop(votes[..., :2] / 2), depth * (CUBE / 2 / DEPTH_RANGE)), dim=-1)

    def votes_of(self, poses: Tensor, wrists: Tensor) -> Tensor:
        """The inverse: poses (B, K, 21, 3), their wrists `wrists` (B, K) metres behind the relief's zero."""
        behind = wrists[..., None] + DEPTH_RANGE * poses[..., 2] - self.middle[..., None]
        return torch.cat((2 * self.windows.to_window(poses[..., :2]), (behind / (CUBE / 2))[..., None]), dim=-1)


class DepthVotes(NamedTuple):
    """Of N cubes: joints (N, 21, 3) uvd_nl, spread (N, 21) of the window's side, side (N,) logit that it is a right
    hand, as it is shown; the maps (N, 105, 32, 32) and the depth (N, 1, 32, 32) that they were read from."""

    joints: Tensor
    spread: Tensor
    side: Tensor
    maps: Tensor
    depth: Tensor


def depth_windows(
    image: Tensor, view: Tensor, poses: Tensor, mirrored: Tensor, scales: Tensor | None = None
) -> DepthWindows:
    """Where the cubes of hands are.

    Args:
        image: (B, 5, S, S), colours and relief.
        view: (B, 2) of `geometry.relief.view_of`.
        poses: (B, K, 21, 3) so far: x, y of the crop from -0.5 to 0.5, depth behind the wrist over 0.4 m.
        mirrored: (B, K) or (1, K), -1 where the picture is mirrored, as for left hands, else 1.
        scales: (B, K, 21) of the poses; None: all joints are believed alike.
    """
    wrists, enough = wrist_places(image, poses, scales)
    middle = DEPTH_RANGE * (wrists + poses[..., 2].mean(dim=2)) + SKIN
    side = CUBE * view[:, :1] / (view[:, 1:] + middle).clamp(min=_NEAREST)
    # Without depth there is no size; such windows are not used, but must be windows.
    there = (view[:, :1] > 0) & enough
    side = torch.where(there, side, torch.ones_like(side))
    windows = Windows.of(upright_turn(poses), poses[..., :2].mean(dim=2), side, mirrored)
    return DepthWindows(windows, middle, there, int(poses.shape[1]))


def cube_depths(image: Tensor, cubes: DepthWindows, size: int = CROP_SIZE) -> Tensor:
    """What of the relief of pictures (B, 5, S, S) lies in the cubes, (B * K, 1, size, size) as
    `keypoint_fusion.preprocess.normalise_depth` gives it."""
    # A number, not a shape: what is sampled has none while a graph is written.
    batch, count, side = image.shape[0], cubes.hands, image.shape[2]
    pixels = (cubes.windows.cells(size) + 0.5) * side
    # The middles of pixels: mixing depths invents surfaces.
    grid = (torch.floor(pixels) + 0.5) * (2.0 / side) - 1.0
    shown, there = sampled(image[:, COLORS:], grid, count).unbind(dim=1)
    depth = (RELIEF_UNIT * shown - cubes.middle[..., None, None]) * (2 / CUBE)
    inside = (there > 0.5) & (shown.abs() < _CUT) & (depth.abs() < 1)
    return torch.where(inside, depth, 1.0).reshape(batch * count, 1, size, size)


class HandsByDepth(NamedTuple):
    """Both hands of B crops, each as of a right and as of a left one: poses (B, 2 hands, 2 sides, 21, 3) of the crop,
    their scales (B, 2, 2, 21), wrists (B, 2, 2) behind the relief's zero over 0.4 m; logits (B, 2) that each is a right
    hand; and of which hands (B, 2) all this means something. Of hands looked at once (`DepthLook.at`): without the axis
    of sides."""

    poses: Tensor
    scales: Tensor
    wrists: Tensor
    sides: Tensor
    known: Tensor

    def blended(self, poses: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Poses known before, and their scales, shaped as these, with these: of each joint the mean, by inverse
        variance. Where something hides a hand from this look, its cube lies wrong; the other corrects that."""
        before = (OTHERWISE * scales).square()
        own = self.scales.square()
        known = self.known
        while known.ndim < own.ndim:
            known = known[..., None]
        share = torch.where(known, before / (before + own), torch.zeros_like(own))
        pose = poses + share[..., None] * (self.poses - poses)
        return pose, torch.where(share > 0, (share * own).sqrt(), scales)


class DepthLook(nn.Module):
    """Keypoint-Fusion's depth branch of the size lite, and a map of how sure it is."""

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = PRESETS["lite"]
        self.branch = Branch(1, widths.depth, widths.depth_blocks, widths)
        self.spread_weight = nn.Parameter(torch.zeros(NUM_JOINTS, widths.features))
        self.spread_bias = nn.Parameter(torch.full((NUM_JOINTS,), _SPREAD))
        seen = widths.depth[3] + widths.features + 3 * NUM_JOINTS
        self.judge = nn.Sequential(nn.Linear(seen, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))
        self.register_buffer("grid", pixel_grid(MAP_SIZE), persistent=False)

    def look(self, depth: Tensor) -> DepthVotes:
        """At cubes (N, 1, 128, 128)."""
        maps, features, pooled = self.branch(depth.contiguous(memory_format=torch.channels_last))
        maps, features = maps.float(), features.float()
        features = features.reshape(features.shape[0], features.shape[1], MAP_SIZE * MAP_SIZE)
        small = front_surface(depth)
        votes = awr.read_out(maps, small, self.grid)
        # What is seen where the joints' votes come from. How sure that is, is not to change what is seen.
        there = votes.weights.detach() @ features.transpose(1, 2)
        spread = torch.sigmoid((there.detach() * self.spread_weight).sum(dim=-1) + self.spread_bias)
        pose = votes.joints.detach().reshape(depth.shape[0], 3 * NUM_JOINTS)
        told = torch.cat((pooled.float(), there.mean(dim=1), pose), dim=1)
        return DepthVotes(votes.joints, _FLOOR + (1 - _FLOOR) * spread, self.judge(told)[:, 0], maps, small)

    def forward(self, image: Tensor, view: Tensor, poses: Tensor, scales: Tensor) -> HandsByDepth:
        """Both hands looked at as right and as left ones.

        Args:
            image: (B, 5, S, S), colours and relief.
            view: (B, 2) of `geometry.relief.view_of`.
            poses: (B, 2 hands, 2 sides, 21, 3) so far, as of a right and as of a left hand.
            scales: (B, 2, 2, 21) of these.
        """
        batch, count = image.shape[0], 2 * HANDS
        both = poses.reshape(batch, count, NUM_JOINTS, 3)
        sure = scales.reshape(batch, count, NUM_JOINTS)
        seen = self.at(image, view, both, sure, poses.new_tensor(_SIDES * HANDS)[None], count)
        side = seen.sides.reshape(batch, HANDS, 2)
        shape = (batch, HANDS, 2, NUM_JOINTS)
        return HandsByDepth(
            poses=seen.poses.reshape(*shape, 3),
            scales=seen.scales.reshape(shape),
            wrists=seen.wrists.reshape(batch, HANDS, 2),
            sides=side[..., 0] - side[..., 1],
            known=seen.known.reshape(batch, HANDS, 2).all(dim=2),
        )

    def at(
        self, image: Tensor, view: Tensor, poses: Tensor, scales: Tensor, mirrored: Tensor, count: int
    ) -> HandsByDepth:
        """Each hand looked at once.

        Args:
            image, view: as in `forward`.
            poses: (B, count, 21, 3) so far. scales: (B, count, 21) of these.
            mirrored: (B, count) or (1, count): -1 where a hand is looked at as a left one, else 1.
            count: of hands.

        Returns:
            Without the axis of sides; `sides` (B, count): logits that each is a right hand, as it is shown.
        """
        batch = image.shape[0]
        cubes = depth_windows(image, view, poses, mirrored, scales)
        found = self.look(cube_depths(image, cubes))
        joints = found.joints.reshape(batch, count, NUM_JOINTS, 3)
        filled = (found.depth < BACKGROUND).to(joints.dtype).sum(dim=(1, 2, 3)).reshape(batch, count)
        return HandsByDepth(
            poses=cubes.pose_of(joints),
            scales=found.spread.reshape(batch, count, NUM_JOINTS) * cubes.windows.side[..., None],
            wrists=(cubes.middle + CUBE / 2 * joints[:, :, WRIST, 2]) / DEPTH_RANGE,
            sides=found.side.reshape(batch, count),
            known=cubes.known & (filled >= _FEWEST),
        )
