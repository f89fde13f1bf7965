"""From a trained Keypoint Transformer to a model file with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hand_pose_ros import __version__
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer
from hand_pose_ros.networks.keypoint_transformer.export import export_onnx
from hand_pose_ros.training.deploy import write_card


def export_transformer(network: KeypointTransformer, path: Path, margin: float, around_object: bool) -> Path:
    """Write the model; `describe` then says what was measured.

    Args:
        network: of either variant.
        path: the .onnx file.
        margin, around_object: of the crops that it was trained on (`SceneAugmentation`).
    """
    crops = {"crop_margin": f"{margin:g}", "crop_around_object": str(around_object)}
    return export_onnx(network.cpu(), path, {"version": __version__, **crops})


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
        f"{config.cross_layers} cross-attention layers, {config.variant}",
        "crop": f"{config.crop} px, {kept['crop_margin']} times the box of the joints",
    }
    write_card(path, {**built, **about, **stated})
