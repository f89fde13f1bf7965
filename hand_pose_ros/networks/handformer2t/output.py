"""What Handformer2T says of a batch of crops."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Handformer2TOutput(NamedTuple):
    """N stages (coarse first), B samples; joints in canonical order. Hands are (right, left), or first and second by
    their place in the picture where the network has `side_logits` (`decode.by_side` makes (right, left) of them).

    Attributes:
        poses: (N, B, 2, 21, 3): x, y of the crop from -0.5 to 0.5 of its side (outer edges of the pixels), and the
            depth behind the hand's own wrist over 0.4 m.
        scales: (N, B, 2, 21) u in the same units: the scale of the error's Laplace density, one for all coordinates.
        presence_logits: (B, 2), or None without that head.
        relative_depth: (B,) depth of the left (second) wrist less that of the right (first), over 0.4 m; or None.
        side_logits: (B, 2) that a hand is a right one; None where hands are (right, left).
        map_pose, map_logits: (B, 2, 21, 3) and (B, 2, 21, h * w) of `maps.MapPose`, whose pose the coarse one corrects;
            None without.
        facing: (B, 2) of `maps.MapPose`; map_depths (B, 2, 21, h * w), map_palms (B, 21, h * w): its other maps; None
            without.
    """

    poses: Tensor
    scales: Tensor
    presence_logits: Tensor | None
    relative_depth: Tensor | None
    side_logits: Tensor | None = None
    map_pose: Tensor | None = None
    map_logits: Tensor | None = None
    facing: Tensor | None = None
    map_depths: Tensor | None = None
    map_palms: Tensor | None = None
