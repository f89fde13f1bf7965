"""The network as one ONNX graph: bytes in; hands, keypoints and the object's pose out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from hand_pose_ros.geometry.relief import RELIEF_MAPS, RELIEF_MEANING, VIEW_MEANING, sloping
from hand_pose_ros.networks.keypoint_transformer.config import CROP_SIZE
from hand_pose_ros.networks.keypoint_transformer.decode import Decoded, decode
from hand_pose_ros.networks.keypoint_transformer.looking import look_again
from hand_pose_ros.networks.keypoint_transformer.model import KeypointTransformer
from hand_pose_ros.networks.keypoint_transformer.peaks import graph_keypoints
from hand_pose_ros.networks.onnx_file import write_graph
from hand_pose_ros.skeleton import WRIST

_MEANING: Final[Mapping[str, str]] = {
    "joints": "(1,2,21,3) float32 metres from the hand's own wrist, camera axes; right, left",
    "uv": "(1,2,21,2) float32 pixels of the crop; right, left",
    "depth": "(1,2,21) float32 metres behind the hand's own wrist; right, left",
    "pose": "(1,2,16,3) float32 axis-angle in MANO order; right, left",
    "shape": "(1,10) float32 betas of both hands",
    "camera": "(1,3) float32 s, tx, ty: crop pixel = s XY + t, XY metres from the right wrist",
    "hand_translation": "(1,3) float32 metres, right to left wrist",
    "presence": "(1,2) float32 0..1, how completely the hand's joints are found; right, left",
    "keypoint_uv": "(1,K,2) float32 pixels of the crop",
    "keypoint_score": "(1,K) float32, height of the peak, 0 in unused slots",
    "identity": "(1,K,C) float32 probabilities: background, 21 right joints, 21 left joints, object",
    "attention": "(1,Q,K) float32, of the queries to the keypoints, last layer, mean over heads",
    "object_rotation": "(1,3,3) float32, object to camera axes",
    "object_translation": "(1,3) float32 metres, right wrist to object",
    "object_presence": "(1,) float32 0..1",
    "wrist_depth": "(1,) float32 metres, how much farther the left wrist is than the right",
}


class DeployedKeypointTransformer(nn.Module):
    """The network with its input normalisation, keypoints found in the graph and its answers decoded.

    Args:
        network: trained; it is put into eval mode.
        hand_layers: for the angle representation, modules of the right and the left hand that take (global_orient
            (B, 3), hand_pose (B, 45), betas (B, 10), transl (B, 3)) and give vertices and joints (B, 21, 3) in
            canonical order, such as `hand_model.torch_model.TorchHandModel`. With them the graph has `joints`, `uv` and
            `depth` too.
    """

    def __init__(self, network: KeypointTransformer, hand_layers: tuple[nn.Module, nn.Module] | None = None) -> None:
        super().__init__()
        if hand_layers is not None and network.config.representation != "angles":
            raise ValueError(f"hand_layers serve 'angles' only, the network gives {network.config.representation!r}")
        self.network = network.eval()
        self.hand_layers = nn.ModuleList(hand_layers) if hand_layers is not None else None

    def forward(self, rgb: Tensor, relief: Tensor | None = None, view: Tensor | None = None) -> tuple[Tensor, ...]:
        """rgb (B, crop, crop, 3) uint8, relief (B, 2, crop, crop), view (B, 2) -> the fields of `Decoded` that the
        network has, in their order."""
        return tuple(value for value in self.decoded(rgb, relief, view) if value is not None)

    def decoded(self, rgb: Tensor, relief: Tensor | None = None, view: Tensor | None = None) -> Decoded:
        """The same by name."""
        config, look = self.network.config, self.network.depth_look
        image = rgb.to(torch.float32).permute(0, 3, 1, 2) / 255
        seen = self.network.see(image, relief)
        keypoints = graph_keypoints(seen.maps, config.hand_slots, config.object_slots, config.peaks)
        output = self.network.understand(seen, keypoints)
        result = decode(output, config.variant == "authors")
        if look is not None and relief is not None and view is not None:
            return look_again(look, output, result, image, relief, view)
        return result if self.hand_layers is None else self._posed(result)

    def _posed(self, result: Decoded) -> Decoded:
        assert result.pose is not None and result.shape is not None and self.hand_layers is not None
        hands = []
        for side, layer in enumerate(self.hand_layers):
            pose = result.pose[:, side]
            _, joints = layer(
                pose[:, 0], pose[:, 1:].reshape(pose.shape[0], 45), result.shape, torch.zeros_like(pose[:, 0])
            )
            hands.append(joints - joints[:, WRIST : WRIST + 1])
        return result.placed(torch.stack(hands, dim=1))


def output_names(deployed: DeployedKeypointTransformer) -> tuple[str, ...]:
    """Names of what `DeployedKeypointTransformer.forward` returns."""
    with torch.no_grad():
        result = deployed.decoded(*example_inputs(deployed.network).values())
    return tuple(name for name, value in zip(Decoded._fields, result, strict=True) if value is not None)


def example_input(crop: int = CROP_SIZE) -> Tensor:
    """A crop of the right shape and type."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (1, crop, crop, 3), dtype=torch.uint8, generator=generator)


def example_inputs(network: KeypointTransformer) -> dict[str, Tensor]:
    """A crop of the right shapes and types, by the inputs' names."""
    side = network.config.crop
    given = {"rgb": example_input(side)}
    if network.config.depth:
        given["relief"] = torch.from_numpy(sloping(side))[None]
    if network.config.depth_look:
        given["view"] = torch.tensor([[1.0, 0.6]])
    return given


def export_onnx(
    network: KeypointTransformer,
    path: Path,
    metadata: Mapping[str, str],
    hand_layers: tuple[nn.Module, nn.Module] | None = None,
    batch: int = 1,
) -> Path:
    """Write the network (opset 17, static shapes) with its metadata.

    Args:
        network: of either variant, on the CPU; left in eval mode.
        path: the .onnx file to write.
        metadata: strings for the file (name, version, training command, measured error ...). Added here: the
            inputs and outputs with units and the configuration.
        hand_layers: see `DeployedKeypointTransformer`.
        batch: crops in one run.

    Raises:
        ImportError: the `onnx` package is missing.
    """
    deployed = DeployedKeypointTransformer(network, hand_layers).eval()
    names = output_names(deployed)
    about = {**_description(network, names), **metadata}
    return write_graph(deployed, path, example_inputs(network), names, about, batch)


def _description(network: KeypointTransformer, names: tuple[str, ...]) -> dict[str, str]:
    config = network.config
    side = config.crop
    return {
        "model": "keypoint_transformer",
        "size": config.size,
        "decoder": config.decoder,
        "variant": config.variant,
        "representation": config.representation,
        "self_layers": str(config.self_layers),
        "cross_layers": str(config.cross_layers),
        "joint_order": "canonical: wrist, then thumb, index, middle, ring, little, each base to tip",
        "input.rgb": f"(1,{side},{side},3) uint8 RGB crop of the hands and the object",
        **({"input.relief": f"(1,{RELIEF_MAPS},{side},{side}) float32 {RELIEF_MEANING}"} if config.depth else {}),
        **({"input.view": f"(1,2) float32 {VIEW_MEANING}"} if config.depth_look else {}),
        **{f"output.{name}": _MEANING[name] for name in names},
    }
