"""Every kind of network that is exported, with few channels: the graph of a size does not depend on its widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from handformer2t_toys import TINY_WIDTHS, tiny
from keypoint_transformer_toys import with_peaks
from torch import Tensor, nn

from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.networks.handformer2t import export as handformer2t
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion import export as keypoint_fusion
from hand_pose_ros.networks.keypoint_fusion.authors import AuthorsKeypointFusion
from hand_pose_ros.networks.keypoint_fusion.authors import export as authors
from hand_pose_ros.networks.keypoint_fusion.config import PRESETS as FUSION
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig, PeakSettings
from hand_pose_ros.networks.keypoint_transformer import export as keypoint_transformer
from hand_pose_ros.networks.keypoint_transformer.config import PRESETS as TRANSFORMER

_EIGHT: Final = (8, 8, 8, 8)
_ONE: Final = (1, 1, 1, 1)
_ROBOT: Final = {"presence": True, "relative_depth": True}
_OURS: Final = {"maps": True, "order": "place", "delta": True, "depth": True, "closer": True, "depth_look": True}


class Exported(NamedTuple):
    """A module as it is deployed, an example of its inputs, the names of its outputs, and how it is written."""

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    write: Callable[[Path, int], Path]


def _fusion(size: str, stages: int) -> Exported:
    network = away(KeypointFusion(KeypointFusionConfig(size=size, stages=stages, widths=_fusion_widths(size))))  # type: ignore[arg-type]
    module = keypoint_fusion.DeployedKeypointFusion(network).eval()
    return Exported(
        module,
        fusion_inputs(),
        keypoint_fusion.OUTPUT_NAMES,
        lambda path, batch: keypoint_fusion.export_onnx(network, path, {}, batch=batch),
    )


def _authors() -> Exported:
    config = KeypointFusionConfig(size="r18", variant="authors", widths=_fusion_widths("r18"))
    network = away(AuthorsKeypointFusion(config))
    module = authors.DeployedAuthors(network).eval()
    return Exported(
        module,
        fusion_inputs(),
        keypoint_fusion.OUTPUT_NAMES,
        lambda path, batch: authors.export_authors(network, path, {}, batch=batch),
    )


def _fusion_widths(size: str) -> Any:
    few = {"depth": _EIGHT, "rgb": _EIGHT, "depth_blocks": _ONE, "rgb_blocks": _ONE, "features": 16, "tokens": 16}
    return replace(FUSION[size], **few, layers=1, dropout=0.0)  # type: ignore[arg-type]


def _transformer(size: str, **changes: Any) -> Exported:
    few: dict[str, Any] = {
        "stem": 8,
        "blocks": _ONE,
        "feed_forward": 32,
        "hidden": 32,
        "channels": 32,
        "position": 8,
        "dropout": 0.0,
    }
    backbone = (32, 32, 64, 64) if size == "r50" else _EIGHT
    few |= {"backbone": backbone, "token_hidden": (32,), "object_hidden": (32,), "heads": 4}
    few |= {"ups": (16, 16, 8, 8), "outs": (16, 16, 8, 8), "hand_keypoints": 30, "map_head": (8,)}
    widths = replace(TRANSFORMER[size, "small"], **few, skips=(16, 16, 8, 8))  # type: ignore[index]
    config = KeypointTransformerConfig(size=size, widths=widths, self_layers=1, peaks=PeakSettings(rounds=2), **changes)  # type: ignore[arg-type]
    network = with_peaks(away(KeypointTransformer(config)))
    module = keypoint_transformer.DeployedKeypointTransformer(network).eval()
    return Exported(
        module,
        {"rgb": keypoint_transformer.example_input(config.crop)},
        keypoint_transformer.output_names(module),
        lambda path, batch: keypoint_transformer.export_onnx(network, path, {}, batch=batch),
    )


def _handformer2t(size: str, **ours: bool) -> Exported:
    bottleneck = {"bottleneck": True, "backbone": (16, 16, 32, 32), "lengths": (64, 64, 128, 400)}
    decoder = {"decoder": (16, 16, 16)} if ours else {}
    widths = replace(TINY_WIDTHS, **(bottleneck if size == "r50" else decoder))  # type: ignore[arg-type]
    network = away(Handformer2T(tiny(widths=widths, **ours, **_ROBOT)))
    module = handformer2t.DeployedHandformer2T(network).eval()
    return Exported(
        module,
        handformer2t.example_inputs(network),
        handformer2t.output_names(network),
        lambda path, batch: handformer2t.export_onnx(network, path, {}, batch=batch),
    )


NETWORKS: Final[Mapping[str, Callable[[], Exported]]] = {
    "kpt_fusion lite": lambda: _fusion("lite", 2),
    "kpt_fusion r18": lambda: _fusion("r18", 1),
    "kpt_fusion convnext_t": lambda: _fusion("convnext_t", 1),
    "kpt_fusion r18, authors'": _authors,
    "keypoint_transformer lite": lambda: _transformer("lite"),
    "keypoint_transformer r50": lambda: _transformer("r50", representation="2p5d", objects=True),
    "handformer2t lite": lambda: _handformer2t("lite"),
    "handformer2t lite, ours": lambda: _handformer2t("lite", **_OURS),
    "handformer2t r50": lambda: _handformer2t("r50"),
}


def away(network: Any) -> Any:
    """Weights away from their initial values, so that every path of the graph matters."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand if name.endswith("running_var") else torch.randn
            tensor += 0.02 * noise(tensor.shape, generator=generator)
    return network.eval()


def fusion_inputs() -> dict[str, Tensor]:
    """A tilted surface with holes, coloured noise."""
    given = keypoint_fusion.example_inputs()
    generator = torch.Generator().manual_seed(1)
    depth = torch.linspace(0.55, 0.66, 128).expand(128, 128) + 0.004 * torch.randn(128, 128, generator=generator)
    depth = depth * (torch.rand(128, 128, generator=generator) > 0.1)
    depth[:20] = 0
    rgb = torch.randint(0, 256, given["rgb"].shape, generator=generator, dtype=torch.uint8)
    return {**given, "depth": depth[None], "rgb": rgb}
