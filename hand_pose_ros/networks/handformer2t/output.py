"""What Handformer2T says of a batch of crops."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Handformer2TOutput(NamedTuple):
    """N stages (coarse first), B samples; hands are (right, left), joints in canonical order.

    Attributes:
        poses: (N, B, 2, 21, 3): x, y of the crop from -0.5 to 0.5 of its side (outer edges of the pixels), and the
            depth behind the hand's own wrist over 0.4 m.
        scales: (N, B, 2, 21) u in the same units: the scale of the error's Laplace density, one for all coordinates.
        presence_logits: (B, 2), or None without that head.
        relative_depth: (B,) depth of the left wrist less that of the right, over 0.4 m; or None.
    """

    poses: Tensor
    scales: Tensor
    presence_logits: Tensor | None
    relative_depth: Tensor | None
