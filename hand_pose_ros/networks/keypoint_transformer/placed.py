"""Maps of joints by place, and what they tell tokens and queries (ours; `KeypointTransformerConfig.placed`).

Handformer2T's maps say where each joint of the hand farther left is and of the other one, how deep it lies, and, by
which face is seen, which hand is a right one (`networks.handformer2t.maps`). That is most of what a keypoint's identity
is made of, and where a joint without a keypoint may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.handformer2t.maps import DECODED_STRIDE, MapPose, MapPrediction, turn
from hand_pose_ros.networks.keypoint_transformer.config import HANDS, KeypointTransformerConfig
from hand_pose_ros.networks.keypoint_transformer.heads import MLP
from hand_pose_ros.networks.keypoint_transformer.queries import query_layout
from hand_pose_ros.skeleton import CANONICAL_TO_INTERHAND, NUM_JOINTS, PARENTS, WRIST

_JOINTS: Final = HANDS * NUM_JOINTS
# What a token is told: evidence of each joint, how deep it lies, and the hands' sides and number.
TOLD: Final = _JOINTS + 1 + HANDS
# A query: its joint's place and from parent and wrist, its hand's pose, and how sure the hand is.
_ABOUT_JOINT: Final = 3 * 3 + 3 * NUM_JOINTS + HANDS
_ABOUT_BOTH: Final = HANDS * (3 * NUM_JOINTS + 1) + 1
# With depth: the surface where the joint is, from its wrist's, whether it is known, and its hand's mean; of both hands
# the wrists', the means, whether they are known, and the differences.
_ABOUT_SURFACE: Final = 4
_ABOUT_SURFACES: Final = 3 * HANDS + 2
_SMALL: Final = 1e-3
# Of `facing` times turn in the logits of sides, at first.
_FACING_GAIN: Final = 6.0
_HIDDEN: Final = 64


class Told(NamedTuple):
    """tokens (B, K, TOLD); identity (B, K, classes), added to the classifier's logits; queries (B, Q, C); side_logits
    (B,) that the first hand is a right one; pair_logits (B,) that there are two; places (B, 2, 21, 2) of the joints of
    right and left hand, pixels of the heat map, canonical order."""

    tokens: Tensor
    identity: Tensor
    queries: Tensor
    side_logits: Tensor
    pair_logits: Tensor
    places: Tensor


def place_maps(config: KeypointTransformerConfig) -> MapPose:
    """Of the decoder's map of stride 4, as Handformer2T's variant has them."""
    return MapPose((config.network_widths.outs[2],), config.crop // DECODED_STRIDE)


class PlacedMaps(nn.Module):
    """Deals what the maps say by place to right and left hand. Of the maps only those of the palms' faces learn through
    it, from which side is right."""

    order: Tensor
    parents: Tensor

    def __init__(self, config: KeypointTransformerConfig) -> None:
        super().__init__()
        widths = config.network_widths
        self.middle, self.cells = config.map_size / 2, config.crop // DECODED_STRIDE
        self.classes, self.depth = config.identities, config.depth
        self.layout = query_layout(config)
        self.facing_gain = nn.Parameter(torch.tensor(_FACING_GAIN))
        self.counter = MLP((sum(widths.maps[2:]) + _JOINTS + 3 * HANDS, _HIDDEN, 2))
        self.identity_gain = nn.Parameter(torch.tensor(1.0))
        about = (_ABOUT_JOINT, _ABOUT_BOTH)
        if config.depth:
            about = (_ABOUT_JOINT + _ABOUT_SURFACE, _ABOUT_BOTH + _ABOUT_SURFACES)
        self.joint_query = MLP((about[0], widths.hidden, widths.channels))
        self.shared_query = MLP((about[1], widths.hidden, widths.channels))
        self.register_buffer("order", torch.from_numpy(CANONICAL_TO_INTERHAND.copy()), persistent=False)
        parents = torch.tensor([max(parent, WRIST) for parent in PARENTS])
        self.register_buffer("parents", parents, persistent=False)

    @property
    def mlps(self) -> tuple[MLP, ...]:
        """Its parts with weights."""
        return self.counter, self.joint_query, self.shared_query

    def forward(
        self, found: MapPrediction, features: Sequence[Tensor], xy: Tensor, relief: Tensor | None = None
    ) -> Told:
        """found: of `place_maps`; features: the decoder's five maps; xy (B, K, 2): keypoints, pixels of the map; relief
        (B, 2, crop, crop): with depth, None: nothing is known of it."""
        poses, facing = found.pose.detach(), found.facing
        chances = float(self.cells * self.cells) * torch.softmax(found.logits.detach(), dim=-1)
        side, pair = self._counted(poses, facing, chances, features)
        right, two = torch.sigmoid(side), torch.sigmoid(pair)
        # Of two hands one is a right and the other a left one.
        first, second = torch.stack((right, 1 - right), dim=1), torch.stack((1 - right, right), dim=1)
        share = torch.stack((first, second * two[:, None]), dim=2)  # (B, side, place)
        evidence, depth = self._seen(chances, found.depths.detach(), xy, share)
        state = torch.stack((right, two), dim=1)
        everywhere = state[:, None] + torch.zeros_like(depth)
        return Told(
            tokens=torch.cat((evidence, depth, everywhere), dim=2),
            identity=self._logits(evidence),
            queries=self._queries(poses, share, two, self._surfaces(chances, relief) if self.depth else None),
            side_logits=side,
            pair_logits=pair,
            places=(self._dealt(poses[..., :2], side, pair) + 0.5) * (2 * self.middle) - 0.5,
        )

    @staticmethod
    def _dealt(poses: Tensor, side: Tensor, pair: Tensor) -> Tensor:
        """Poses by place (B, 2, 21, C) as right and left hand's; a hand that is alone is both."""
        first, second = poses[:, 0], torch.where((pair > 0)[:, None, None], poses[:, 1], poses[:, 0])
        right = (side > 0)[:, None, None]
        return torch.stack((torch.where(right, first, second), torch.where(right, second, first)), dim=1)

    def _logits(self, evidence: Tensor) -> Tensor:
        """Among the classifier's classes: background, joints, object."""
        nothing = torch.zeros_like(evidence[..., :1])
        rest = self.classes - 1 - _JOINTS
        return torch.cat((nothing, self.identity_gain * evidence, *(nothing,) * rest), dim=2)

    def _counted(
        self, poses: Tensor, facing: Tensor, chances: Tensor, features: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits (B,) that the hand at the first place is a right one, and that there are two hands."""
        gap = (poses[:, 0, :, :2] - poses[:, 1, :, :2]).abs().mean(dim=1)
        pooled = [level.mean(dim=(2, 3)) for level in features[2:]]
        sure = torch.log1p(chances.amax(dim=3)).reshape(len(poses), _JOINTS)
        bent = facing * turn(poses)
        shift, pair = self.counter(torch.cat((*pooled, sure, gap, facing, bent), dim=1)).unbind(dim=1)
        other = torch.sigmoid(pair).detach() * bent[:, 1]
        return self.facing_gain * (bent[:, 0] - other) + shift, pair

    def _seen(self, chances: Tensor, depths: Tensor, xy: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """At keypoints: evidence (B, K, 42) of each joint (right, left; the paper's order), 0 for none; depth (B, K, 1)
        behind its wrist of what is seen."""
        here = self._sample(torch.cat((chances, chances * depths), dim=2), xy)
        chance, deep = here[..., :NUM_JOINTS], here[..., NUM_JOINTS:]
        depth = deep.sum(dim=(2, 3)) / (chance.sum(dim=(2, 3)) + _SMALL)
        # (B, side, place) x (B, K, place, joint)
        dealt = torch.einsum("bsp,bkpj->bksj", share, chance).index_select(3, self.order)
        return torch.log1p(dealt.reshape(len(xy), xy.shape[1], _JOINTS)), depth[..., None]

    def _sample(self, maps: Tensor, xy: Tensor) -> Tensor:
        """maps (B, 2, C, h * w) at xy (B, K, 2): (B, K, 2, C)."""
        batch, _, channels, _ = maps.shape
        grid = (xy + 0.5) / self.middle - 1
        flat = maps.reshape(batch, HANDS * channels, self.cells, self.cells)
        sampled = functional.grid_sample(
            flat, grid[:, :, None], mode="bilinear", padding_mode="border", align_corners=False
        )
        return sampled[..., 0].transpose(1, 2).reshape(batch, xy.shape[1], HANDS, channels)

    def _surfaces(self, chances: Tensor, relief: Tensor | None) -> Tensor:
        """The relief under each joint's map (B, 2, 21, 2), hands by place: its mean, and the part of it that is
        known."""
        if relief is None:
            return torch.stack((torch.zeros_like(chances[..., 0]),) * 2, dim=3)
        cells = functional.avg_pool2d(relief, DECODED_STRIDE).reshape(len(relief), 2, self.cells * self.cells)
        seen = torch.einsum("bpjn,bcn->bpjc", chances / float(self.cells * self.cells), cells)
        return torch.stack((seen[..., 0] / (seen[..., 1] + _SMALL), seen[..., 1]), dim=3)

    def _queries(self, poses: Tensor, share: Tensor, two: Tensor, surfaces: Tensor | None) -> Tensor:
        """(B, Q, C)."""
        weight = share / (share.sum(dim=2, keepdim=True) + _SMALL)
        dealt = torch.einsum("bsp,bpjc->bsjc", weight, poses)
        parent, wrist = dealt.index_select(2, self.parents), dealt[:, :, WRIST : WRIST + 1]
        told = [dealt, dealt - parent, dealt - wrist]
        seen: list[Tensor] = []
        if surfaces is not None:
            surface = torch.einsum("bsp,bpjc->bsjc", weight, surfaces)
            depth, known = surface[..., :1], surface[..., 1:]
            at_wrist = depth[:, :, WRIST : WRIST + 1]
            mean = depth.mean(dim=2, keepdim=True)
            told += [depth, depth - at_wrist, known, mean + torch.zeros_like(depth)]
            of_hands = torch.cat((at_wrist, mean, known.mean(dim=2, keepdim=True)), dim=3)[:, :, 0]
            seen = [of_hands[:, 0], of_hands[:, 1], of_hands[:, 1, :2] - of_hands[:, 0, :2]]
        about = torch.cat(told, dim=3)
        about = about.index_select(2, self.order)[:, :, : self.layout.per_hand]
        sure = share.sum(dim=2)
        number = torch.stack((two, two), dim=1)[..., None]
        pose = dealt.reshape(len(dealt), HANDS, 3 * NUM_JOINTS)
        whole = torch.cat((pose, sure[..., None], number), dim=2)
        # Not expanded: the exported graph then has no shapes to work out.
        joints = torch.cat((about, torch.stack((whole,) * self.layout.per_hand, dim=2)), dim=3)
        shared = torch.cat((pose[:, 0], pose[:, 1], sure, two[:, None], *seen), dim=1)
        rest = self.layout.count - HANDS * self.layout.per_hand
        asked = self.joint_query(joints)
        return torch.cat((asked[:, 0], asked[:, 1], *(self.shared_query(shared)[:, None],) * rest), dim=1)
