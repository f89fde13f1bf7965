"""From a trained Keypoint Transformer to a model file with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from hand_pose_ros import __version__
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer
from hand_pose_ros.networks.keypoint_transformer.export import export_onnx
from hand_pose_ros.networks.onnx_file import batched_path
from hand_pose_ros.networks.onnx_half import store_weights_half
from hand_pose_ros.training.deploy import write_card


def export_transformer(
    network: KeypointTransformer,
    path: Path,
    margin: float,
    around_object: bool,
    batch: int = 1,
    half_weights: bool = False,
    hand_layers: tuple[nn.Module, nn.Module] | None = None,
) -> Path:
    """Write the model; `describe` then says what was measured.

    Args:
        network: of either variant.
        path: the .onnx file.
        margin, around_object: of the crops that it was trained on (`SceneAugmentation`).
        batch: above 1, a second file is written beside it for as many crops in one run.
        half_weights: files of half the size (`store_weights_half`).
        hand_layers: see `DeployedKeypointTransformer`.
    """
    crops = {"crop_margin": f"{margin:g}", "crop_around_object": str(around_object)}
    for size in sorted({1, batch}):
        about = {"version": __version__, **crops}
        file = export_onnx(network.cpu(), batched_path(path, size), about, hand_layers, size)
        if half_weights:
            store_weights_half(file)
    return path


def describe(network: KeypointTransformer, path: Path, stated: Mapping[str, str], about: Mapping[str, str]) -> None:
    """Put what was measured into the file, and all of it on its card.

    Args:
        network: that was written.
        path: the .onnx file.
        stated: numbers that the pipeline reads.
        about: data, command, errors.
    """
    import onnx

    model = onnx.load(str(path))
    kept = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, {**kept, **stated, **about})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    config = network.config
    built = {
        "network": f"keypoint_transformer {config.size}, {config.representation}, "
        f"{'with' if config.objects else 'without'} object, {config.self_layers} self-attention and "
        f"{config.cross_layers} cross-attention layers, {config.variant}"
        f"{', maps by place' if config.placed else ''}{', reads depth' if config.depth else ''}",
        "crop": f"{config.crop} px, {kept['crop_margin']} times the box of the joints",
    }
    write_card(path, {**built, **about, **stated})
