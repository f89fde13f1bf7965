"""The network as one ONNX graph: from bytes of the crop to pixels and metres. No flows: those are the loss's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from hand_pose_ros.geometry.relief import RELIEF_MAPS, RELIEF_MEANING, VIEW_MEANING, sloping
from hand_pose_ros.networks.handformer2t.decode import Decoded, decode
from hand_pose_ros.networks.handformer2t.model import Handformer2T
from hand_pose_ros.networks.onnx_file import write_graph

_MEANING: Final[Mapping[str, str]] = {
    "uv": "(1,2,21,2) float32 pixels of the crop, whole numbers at the middles of pixels; right, left",
    "depth": "(1,2,21) float32 metres behind the hand's own wrist; right, left",
    "uv_std": "(1,2,21) float32 pixels, one standard deviation of u and of v",
    "depth_std": "(1,2,21) float32 metres, one standard deviation of depth",
    "presence": "(1,2) float32 0..1 that the hand is there; right, left",
    "wrist_depth": "(1,) float32 metres, how much farther the left wrist is than the right",
}


class DeployedHandformer2T(nn.Module):
    """The network with its answers decoded.

    Args:
        network: trained; it is put into eval mode.
        std_factor: of the standard deviations, measured on validation data (see `decode`).
        color_factor: in its place where the relief has no reading: a network is less sure of colour alone than it says;
            None: the same.
    """

    def __init__(self, network: Handformer2T, std_factor: float = 1.0, color_factor: float | None = None) -> None:
        super().__init__()
        self.network = network.eval()
        self.std_factor, self.color_factor = std_factor, color_factor

    def forward(self, rgb: Tensor, relief: Tensor | None = None, view: Tensor | None = None) -> tuple[Tensor, ...]:
        """rgb (B, crop, crop, 3) uint8, relief (B, 2, crop, crop), view (B, 2) -> the fields of `Decoded` that the
        network has, in their order."""
        return tuple(value for value in self.decoded(rgb, relief, view) if value is not None)

    def decoded(self, rgb: Tensor, relief: Tensor | None = None, view: Tensor | None = None) -> Decoded:
        """The same by name."""
        image = rgb.to(torch.float32).permute(0, 3, 1, 2) / 255
        return decode(self.network(image, relief, view), self.network.config.picture, self._factor(relief))

    def _factor(self, relief: Tensor | None) -> float | Tensor:
        """(B, 1, 1), or one for all."""
        if self.color_factor is None or relief is None:
            return self.std_factor
        known = relief[:, 1:].amax(dim=(2, 3)) > 0
        return torch.where(known, self.std_factor, self.color_factor)[..., None]


def output_names(network: Handformer2T) -> tuple[str, ...]:
    """Names of what `DeployedHandformer2T.forward` returns."""
    missing = set()
    if network.presence is None:
        missing.add("presence")
    if network.relative_depth is None:
        missing.add("wrist_depth")
    return tuple(name for name in Decoded._fields if name not in missing)


def example_inputs(network: Handformer2T) -> dict[str, Tensor]:
    """A crop of the right shapes and types, by the inputs' names."""
    side = network.config.picture
    generator = torch.Generator().manual_seed(0)
    given = {"rgb": torch.randint(0, 255, (1, side, side, 3), dtype=torch.uint8, generator=generator)}
    if network.config.depth:
        given["relief"] = torch.from_numpy(sloping(side))[None]
    if network.config.depth_look:
        given["view"] = torch.tensor([[1.0, 0.6]])
    return given


def export_onnx(
    network: Handformer2T,
    path: Path,
    metadata: Mapping[str, str],
    std_factor: float = 1.0,
    batch: int = 1,
    color_factor: float | None = None,
) -> Path:
    """Write the network (opset 17, static shapes) with its metadata.

    Args:
        network: on the CPU; left in eval mode.
        path: the .onnx file to write.
        metadata: strings for the file (name, version, training command, measured error ...). Added here: the
            inputs and outputs with units and the configuration.
        std_factor, color_factor: see `DeployedHandformer2T`.
        batch: crops in one run.

    Raises:
        ImportError: the `onnx` package is missing.
    """
    names = output_names(network)
    about = {**_description(network, names, std_factor), **metadata}
    deployed = DeployedHandformer2T(network, std_factor, color_factor)
    return write_graph(deployed, path, example_inputs(network), names, about, batch)


def _description(network: Handformer2T, names: tuple[str, ...], std_factor: float) -> dict[str, str]:
    config = network.config
    side = config.picture
    return {
        "model": "handformer2t",
        "size": config.size,
        "tokens": config.tokens,
        "token_size": str(config.channels),
        "stages": str(config.stages),
        "std_factor": str(std_factor),
        "joint_order": "canonical: wrist, then thumb, index, middle, ring, little, each base to tip",
        "input.rgb": f"(1,{side},{side},3) uint8 RGB crop of the hands",
        **({"input.relief": f"(1,{RELIEF_MAPS},{side},{side}) float32 {RELIEF_MEANING}"} if config.depth else {}),
        **({"input.view": f"(1,2) float32 {VIEW_MEANING}"} if config.depth_look else {}),
        **{f"output.{name}": _MEANING[name] for name in names},
    }
