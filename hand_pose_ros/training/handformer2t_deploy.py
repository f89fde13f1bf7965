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
from hand_pose_ros.networks.handformer2t.followed import export_followed
from hand_pose_ros.networks.onnx_borrowed import borrow_weights
from hand_pose_ros.networks.onnx_file import batched_path
from hand_pose_ros.networks.onnx_half import store_weights_half
from hand_pose_ros.pipeline.followed_looks import VERSION, followed_path, made_for
from hand_pose_ros.training.deploy import write_card
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.handformer2t_weights import of_file
from hand_pose_ros.training.weights_of_file import GraphFile


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


def export_followed_looks(model: Path) -> Path:
    """Write the looks of a model's file at one hand beside it (`networks.handformer2t.followed`), with a card; the
    weights are read from the model's file, which must hold them.

    Raises:
        TrainingError: the file is of another network, or of one without both looks.
    """
    path, file = followed_path(model), of_file(model)
    beside = path.with_name(f".{path.name}")
    try:
        factor = float(GraphFile(model).stated("std_factor"))
        about = {"version": __version__, "followed_version": str(VERSION), **made_for(model)}
        # What is there already is replaced once all is well.
        export_followed(file.network, beside, about, factor)
        borrow_weights(beside, model).replace(path)
    except ValueError as error:
        raise TrainingError(f"{model}: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    what = f"the looks of {model.name} at one hand that is followed; reads its weights from that file"
    write_card(path, {"what": what, "command": f"hand_pose export handformer2t_followed --checkpoint {model.name}"})
    return path
