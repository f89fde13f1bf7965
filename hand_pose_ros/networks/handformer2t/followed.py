"""One hand that is followed: looked at from where it is expected, as of the side it is known to be (ours).

A whole crop is read to find out which hands are there, of which side, and where. All of that is known of a hand that is
followed: what is left of the network are its two looks at it, one each, in place of a whole crop and four each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.geometry.relief import RELIEF_MAPS, RELIEF_MEANING, VIEW_MEANING, sloping
from hand_pose_ros.geometry.scene_crop import FOLLOWED_MARGIN
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE
from hand_pose_ros.networks.handformer2t.decode import LAPLACE_STD, encode
from hand_pose_ros.networks.handformer2t.model import Handformer2T
from hand_pose_ros.networks.onnx_file import write_graph
from hand_pose_ros.skeleton import NUM_JOINTS

MODEL: Final = "handformer2t_followed"
_MEANING: Final[Mapping[str, str]] = {
    "uv": "(1,21,2) float32 pixels of the crop, whole numbers at the middles of pixels",
    "depth": "(1,21) float32 metres behind the hand's own wrist",
    "uv_std": "(1,21) float32 pixels, one standard deviation of u and of v",
    "depth_std": "(1,21) float32 metres, one standard deviation of depth",
    "side": "(1,) float32 logit that the hand is of the side it was looked at as",
    "known": "(1,) float32 1 where the depth image shows it, else 0",
}


class Followed(NamedTuple):
    """B hands: uv (B, 21, 2), uv_std (B, 21) pixels of the crop, depth, depth_std (B, 21) metres behind the wrist; side
    (B,) logit that it is of the side it was looked at as; known (B,) 1 where the depth image shows it."""

    uv: Tensor
    depth: Tensor
    uv_std: Tensor
    depth_std: Tensor
    side: Tensor
    known: Tensor


class FollowedHand(nn.Module):
    """The looks of a network of two hands at one hand.

    Args:
        network: with both looks; it is put into eval mode.
        std_factor: of the standard deviations, see `decode`.

    Raises:
        ValueError: the network lacks a look.
    """

    def __init__(self, network: Handformer2T, std_factor: float = 1.0) -> None:
        super().__init__()
        if network.closer is None or network.depth_look is None:
            raise ValueError("followed: expected a network with a closer look and one by depth (closer, depth_look)")
        self.network = network.eval()
        self.closer, self.depth_look = network.closer, network.depth_look
        self.std_factor = std_factor

    def forward(
        self, rgb: Tensor, relief: Tensor, view: Tensor, uv: Tensor, depth: Tensor, side: Tensor
    ) -> tuple[Tensor, ...]:
        """rgb (B, S, S, 3) uint8, relief (B, 2, S, S), view (B, 2) as the whole network takes them; where the hand is
        expected, uv (B, 21, 2) pixels of the crop and depth (B, 21) metres behind its wrist; side (B, 1), 1 for a right
        and -1 for a left hand -> the fields of `Followed` in their order."""
        image = rgb.to(torch.float32).permute(0, 3, 1, 2) / 255
        seen = self.network.seen(image, relief)
        size = self.network.config.picture
        poses, scales, told = self.closer.at(seen, encode(uv, depth, size)[:, None], side, 1)
        deep = self.depth_look.at(seen, view, poses, scales, side, 1)
        poses, scales = deep.blended(poses, scales)
        pose, std = poses[:, 0], self.std_factor * LAPLACE_STD * scales[:, 0]
        known = deep.known[:, 0].to(std.dtype)
        return Followed(
            uv=(pose[..., :2] + 0.5) * size - 0.5,
            depth=DEPTH_RANGE * pose[..., 2],
            uv_std=size * std,
            depth_std=DEPTH_RANGE * std,
            side=told + known * deep.sides[:, 0],
            known=known,
        )


def example_inputs(network: Handformer2T) -> dict[str, Tensor]:
    """A crop and a hand in it of the right shapes and types, by the inputs' names."""
    side = network.config.picture
    generator = torch.Generator().manual_seed(0)
    return {
        "rgb": torch.randint(0, 255, (1, side, side, 3), dtype=torch.uint8, generator=generator),
        "relief": torch.from_numpy(sloping(side))[None],
        "view": torch.tensor([[1.0, 0.6]]),
        "expected_uv": side * (0.3 + 0.4 * torch.rand((1, NUM_JOINTS, 2), generator=generator)),
        "expected_depth": 0.05 * torch.randn((1, NUM_JOINTS), generator=generator),
        "expected_side": torch.ones((1, 1)),
    }


def export_followed(network: Handformer2T, path: Path, metadata: Mapping[str, str], std_factor: float = 1.0) -> Path:
    """Write the looks at one hand (opset 17, static shapes) with their metadata.

    Args:
        network: with both looks, on the CPU; left in eval mode.
        path: the .onnx file to write.
        metadata: strings for the file; added here: inputs and outputs with units.
        std_factor: see `decode`.

    Raises:
        ImportError: the `onnx` package is missing.
        ValueError: the network lacks a look.
    """
    side = network.config.picture
    about = {
        "model": MODEL,
        "std_factor": str(std_factor),
        "crop_margin": str(FOLLOWED_MARGIN),
        "input.rgb": f"(1,{side},{side},3) uint8 RGB crop of the hand",
        "input.relief": f"(1,{RELIEF_MAPS},{side},{side}) float32 {RELIEF_MEANING}",
        "input.view": f"(1,2) float32 {VIEW_MEANING}",
        "input.expected_uv": "(1,21,2) float32 pixels of the crop where the joints are expected",
        "input.expected_depth": "(1,21) float32 metres behind the wrist, as expected",
        "input.expected_side": "(1,1) float32 1 for a right hand, -1 for a left one",
        **{f"output.{name}": _MEANING[name] for name in Followed._fields},
        **metadata,
    }
    deployed = FollowedHand(network, std_factor)
    return write_graph(deployed, path, example_inputs(network), Followed._fields, about)
