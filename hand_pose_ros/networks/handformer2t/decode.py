"""The network's last stage in pixels and metres, with standard deviations."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE
from hand_pose_ros.networks.handformer2t.output import Handformer2TOutput

# Of a Laplace density of scale 1.
LAPLACE_STD: Final = math.sqrt(2)
# A hand is there from this probability on.
_THERE: Final = 0.5


class Decoded(NamedTuple):
    """B samples; hands are (right, left), joints in canonical order, image places in pixels of the crop.

    Attributes:
        uv: (B, 2, 21, 2), whole numbers at the middles of pixels.
        depth: (B, 2, 21) metres behind the hand's own wrist.
        uv_std: (B, 2, 21) pixels, one standard deviation of u and of v.
        depth_std: (B, 2, 21) metres.
        presence: (B, 2) 0..1 that the hand is there; None without that head.
        wrist_depth: (B,) metres, how much farther the left wrist is than the right; None without that head.
    """

    uv: Tensor
    depth: Tensor
    uv_std: Tensor
    depth_std: Tensor
    presence: Tensor | None
    wrist_depth: Tensor | None


def decode(output: Handformer2TOutput, crop: int, std_factor: float | Tensor = 1.0) -> Decoded:
    """The last stage.

    Args:
        output: of the network.
        crop: side of the crop in pixels.
        std_factor: of all standard deviations, one or (B, 1, 1). 1 takes the scale u for a Laplace density's, without
            what the flow added in training; a factor measured on validation data repairs that.
    """
    pose, scale, presence, relative = by_side(output)
    std = std_factor * LAPLACE_STD * scale
    return Decoded(
        uv=(pose[..., :2] + 0.5) * crop - 0.5,
        depth=DEPTH_RANGE * pose[..., 2],
        uv_std=crop * std,
        depth_std=DEPTH_RANGE * std,
        presence=presence,
        wrist_depth=None if relative is None else DEPTH_RANGE * relative,
    )


class Sided(NamedTuple):
    """The last stage of right and left hand: pose (B, 2, 21, 3), scale (B, 2, 21), presence (B, 2) 0..1, relative depth
    (B,) from right to left; the last two None without their heads."""

    pose: Tensor
    scale: Tensor
    presence: Tensor | None
    relative_depth: Tensor | None


def by_side(output: Handformer2TOutput) -> Sided:
    """Deals hands that are ordered by place to their sides.

    A hand's side counts as much as the hand seems to be there. Where one only is there, both answers are its pose, and
    presence says which it is: what the network says of a hand that is not there means nothing.
    """
    pose, scale, relative = output.poses[-1], output.scales[-1], output.relative_depth
    there = None if output.presence_logits is None else torch.sigmoid(output.presence_logits)
    if output.side_logits is None or there is None:
        return Sided(pose, scale, there, relative)
    evidence = side_evidence(there, output.side_logits)
    alone = ((there < _THERE) & (in_other_order(there) >= _THERE))[..., None]
    pose = torch.where(alone[..., None], in_other_order(pose), pose)
    scale = torch.where(alone, in_other_order(scale), scale)
    second = evidence < 0  # the second one is the right hand
    share = torch.sigmoid(torch.cat((evidence, -evidence), dim=1))
    return Sided(
        pose=torch.where(second[..., None, None], in_other_order(pose), pose),
        scale=torch.where(second[..., None], in_other_order(scale), scale),
        presence=share * there[:, :1] + (1 - share) * there[:, 1:],
        relative_depth=None if relative is None else torch.where(second[:, 0], -relative, relative),
    )


def side_evidence(there: Tensor, side_logits: Tensor) -> Tensor:
    """(B, 1), above 0 where the first hand is rather the right one; each side counts as much as its hand is there."""
    weighed = there * side_logits
    return weighed[:, :1] - weighed[:, 1:]


def in_other_order(hands: Tensor) -> Tensor:
    """(B, 2, ...) in the other order."""
    return torch.cat((hands[:, 1:], hands[:, :1]), dim=1)


def encode(uv: Tensor, depth: Tensor, crop: int) -> Tensor:
    """The inverse: crop pixels (..., 2) and metres behind the wrist (...) -> poses (..., 3), as training needs them."""
    return torch.cat(((uv + 0.5) / crop - 0.5, depth[..., None] / DEPTH_RANGE), dim=-1)


def metric_std(uv_std: Tensor, depth_std: Tensor, z: Tensor, focal: Tensor) -> Tensor:
    """One isotropic standard deviation per joint (B, 2, 21) in metres: root mean square over the three axes.

    Args:
        uv_std, depth_std: of `Decoded`.
        z: (B, 2, 21) metres from the camera.
        focal: (B,) focal length in pixels of the crop.
    """
    lateral = uv_std * z / focal[:, None, None]
    return ((2 * lateral.square() + depth_std.square()) / 3).sqrt()
