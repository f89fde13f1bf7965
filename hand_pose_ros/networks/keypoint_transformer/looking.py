"""Hands of Keypoint Transformer looked at once more by their depth alone (ours; `networks.handformer2t.depth_look`)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from hand_pose_ros.networks.backbones.pictures import with_relief
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE
from hand_pose_ros.networks.handformer2t.decode import encode, in_other_order, side_evidence
from hand_pose_ros.networks.handformer2t.depth_look import DepthLook, HandsByDepth
from hand_pose_ros.networks.keypoint_transformer.decode import LEFT, RIGHT, Decoded
from hand_pose_ros.networks.keypoint_transformer.output import KeypointTransformerOutput

# How wrong the network's own places are, as scales of the look are measured: of the crop's side. Best of some tried on
# validation scenes.
OWN_SCALE: Final = 0.1


def look_again(
    look: DepthLook, output: KeypointTransformerOutput, result: Decoded, image: Tensor, relief: Tensor, view: Tensor
) -> Decoded:
    """Places and depths of the hands whose depth is known are what the look sees; sides are told by both. Joints in
    space are left out: places and depths are what is known best.

    Args:
        look: the network's.
        output, result: of the network, before and after decoding; with maps by place.
        image: (B, 3, S, S); relief (B, 2, S, S) and view (B, 2) of `geometry.relief`.
    """
    assert result.uv is not None and result.depth is not None and output.side_logits is not None
    crop = image.shape[3]
    before = encode(result.uv, result.depth, crop)
    both = torch.stack((before, before), dim=2)
    scales = torch.full_like(both[..., 0], OWN_SCALE)
    found = look(with_relief(image, relief), view, both, scales)
    blended, _ = found.blended(both, scales)
    found = found._replace(poses=blended)
    exchanged = _are_exchanged(output.side_logits, result.presence, found)
    result = _dealt(result, exchanged)
    assert result.uv is not None and result.depth is not None
    order = torch.cat((exchanged, exchanged), dim=1)
    # Seen as right hands and as left ones.
    right, left = found.poses[:, :, 0], found.poses[:, :, 1]
    as_dealt = torch.stack((right[:, 0], left[:, 1]), dim=1)
    seen = torch.where(order[..., None, None], torch.stack((right[:, 1], left[:, 0]), dim=1), as_dealt)
    to_right, to_left = found.wrists[..., 0], found.wrists[..., 1]
    gap = torch.where(exchanged[:, 0], to_left[:, 0] - to_right[:, 1], to_left[:, 1] - to_right[:, 0])
    # Engines choose between numbers, not between truths.
    known = (order & in_other_order(found.known)) | (~order & found.known)
    uv = torch.where(known[..., None, None], (seen[..., :2] + 0.5) * crop - 0.5, result.uv)
    depth = torch.where(known[..., None], DEPTH_RANGE * seen[..., 2], result.depth)
    told = torch.where(known.all(dim=1), DEPTH_RANGE * gap, result.hand_translation[:, 2])
    return result._replace(joints=None, camera=None, uv=uv, depth=depth, wrist_depth=told)


def _are_exchanged(side_logits: Tensor, presence: Tensor, found: HandsByDepth) -> Tensor:
    """(B, 1): whether what was taken for the right hand is rather the left one. The network has dealt them by its own
    logit, which speaks for that."""
    return side_logits.abs()[:, None] + side_evidence(presence, found.known * found.sides) < 0


def _dealt(result: Decoded, exchanged: Tensor) -> Decoded:
    """With the hands exchanged where that is so (B, 1)."""
    assert result.uv is not None and result.depth is not None
    classes = torch.arange(result.identity.shape[2], device=result.identity.device)
    other = torch.cat((classes[: RIGHT.start], classes[LEFT], classes[RIGHT], classes[LEFT.stop :]))
    towards = result.hand_translation
    sign = torch.where(exchanged, -1.0, 1.0)
    moved = None
    if result.object_translation is not None:
        moved = result.object_translation - torch.where(exchanged, towards, torch.zeros_like(towards))
    return result._replace(
        uv=torch.where(exchanged[..., None, None], in_other_order(result.uv), result.uv),
        depth=torch.where(exchanged[..., None], in_other_order(result.depth), result.depth),
        presence=torch.where(exchanged, in_other_order(result.presence), result.presence),
        identity=torch.where(exchanged[..., None], result.identity.index_select(2, other), result.identity),
        hand_translation=sign * towards,
        object_translation=moved,
    )
