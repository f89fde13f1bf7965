"""From a trained Handformer2T to a model file with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from hand_pose_ros import __version__
from hand_pose_ros.evaluation.scene_shards import Array, Infer
from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.networks.handformer2t.export import (
    DeployedHandformer2T,
    example_inputs,
    export_onnx,
    output_names,
)
from hand_pose_ros.networks.onnx_file import batched_path
from hand_pose_ros.networks.onnx_half import store_weights_half
from hand_pose_ros.training.deploy import write_card


def infer_of(network: Handformer2T) -> tuple[Infer, int, tuple[str, ...]]:
    """What the exported graph will compute (not yet calibrated), the side of its crops, and names of its inputs."""
    deployed, names = DeployedHandformer2T(network.cpu()).eval(), output_names(network)

    def infer(given: Mapping[str, Array]) -> Mapping[str, Array]:
        with torch.inference_mode():
            values = deployed(*(torch.from_numpy(value) for value in given.values()))
        return {name: np.asarray(value.numpy()) for name, value in zip(names, values, strict=True)}

    return infer, network.config.picture, tuple(example_inputs(network))


def export_handformer2t(
    network: Handformer2T,
    path: Path,
    about: Mapping[str, str],
    std_factor: float,
    batch: int = 1,
    half_weights: bool = False,
    color_factor: float | None = None,
) -> None:
    """Write the model with the factor that calibrates its deviations (and the one without depth), and its card; with a
    `batch` above 1 also a file for as many crops in one run. `half_weights`: files of half the size
    (`store_weights_half`)."""
    for size in sorted({1, batch}):
        file = batched_path(path, size)
        export_onnx(network.cpu(), file, {"version": __version__, **about}, std_factor, size, color_factor)
        if half_weights:
            store_weights_half(file)
    config = network.config
    built = {"network": f"handformer2t {config.size}, token size {config.channels}, {config.stages} stages"}
    write_card(path, {**built, "crop": f"{config.picture} px", **about})
