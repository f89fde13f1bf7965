"""Weights of a Handformer2T, from wherever they are: checkpoints, files of weights alone, model files."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from hand_pose_ros.networks.backbones.pictures import COLORS
from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.networks.handformer2t.config import PRESETS
from hand_pose_ros.networks.handformer2t.export import export_onnx
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.handformer2t_closer import CLOSER
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, assembled, config_of, network_config
from hand_pose_ros.training.run import BatchSource, some
from hand_pose_ros.training.scene_crops import VALIDATION
from hand_pose_ros.training.scene_sources import SceneData
from hand_pose_ros.training.weights_of_file import GraphFile, OfFile, measure_normalisations, with_weights_of

_AVERAGE: Final = "average.network."
_ELEMENTS: Final = "coarse.tokens.features.element_index"
_LARGEST_CROP: Final = 512
# Sides by tokens, which looks replace: a graph with looks has none of it.
_REPLACED: Final = ("side.", "facing_gain")
# A name that Handformer2T's weights have and Keypoint-Fusion's lack.
OF_HANDFORMER2T: Final = "backbone.conv1.weight"


def trained(checkpoint: Path) -> Handformer2T:
    """The averaged network of a checkpoint of `run_handformer2t`, of whatever size it is, weights alone of our variant,
    or that of a model file (`of_file`).

    Raises:
        TrainingError: no checkpoint, or not one of `hand_pose train handformer2t`.
    """
    if checkpoint.suffix == ".onnx":
        return of_file(checkpoint).network
    if checkpoint.suffix == ".pt":
        return _of_weights(checkpoint)
    state = checkpoints.read(checkpoint)
    network = Handformer2T(config_of(state.get("network", {})))
    weights = state["state_dict"]
    # What was trained along with it (flows or none) is of no interest here.
    network.load_state_dict(
        {name.removeprefix(_AVERAGE): value for name, value in weights.items() if name.startswith(_AVERAGE)}
    )
    return network


def of_file(path: Path) -> OfFile[Handformer2T]:
    """The network of an exported file of our variant, as it runs; what its graph does not read (sides by tokens, where
    looks tell them) is as before any training.

    Raises:
        TrainingError: the file is missing or of another network.
    """
    file = GraphFile(path)
    file.expect("handformer2t")
    closer = file.holds("closer.")
    options = Handformer2TOptions(
        SceneData(()),
        size=file.stated("size"),
        crop=file.picture // 2 if closer else file.picture,
        placed=file.holds("maps."),
        depth=file.has("relief"),
        closer_only=closer,
        network={"stages": file.number("stages"), "depth_look": file.has("view")},
    )

    def export(network: Handformer2T, to: Path) -> None:
        export_onnx(network, to, {})

    return with_weights_of(Handformer2T(network_config(options)), file, export, _REPLACED)


def measured_on(network: Handformer2T, scenes: BatchSource) -> Handformer2T:
    """A network of a file, ready to go on learning: its normalisations know what they see in scenes."""
    crops = assembled(VALIDATION, network.config.picture, network.config.depth)
    measure_normalisations(network, lambda: [network(c.rgb, c.relief, c.view) for c in some(scenes, crops)])
    return network


def learnt_by(path: Path) -> Mapping[str, Tensor]:
    """Weights to begin with: of a checkpoint of `run_handformer2t` or an exported file, or a file of weights alone of
    whatever network.

    Raises:
        TrainingError: not a checkpoint of `hand_pose train handformer2t`.
    """
    if path.suffix in (".ckpt", ".onnx"):
        return trained(path).state_dict()
    weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def seen_by(path: Path, scenes: BatchSource) -> Mapping[str, Tensor]:
    """Weights for an encoder that goes on learning (see `learnt_by`); those of an exported file are measured first.

    Raises:
        TrainingError: not a checkpoint of `hand_pose train handformer2t`.
    """
    if path.suffix == ".onnx":
        return measured_on(of_file(path).network, scenes).state_dict()
    return learnt_by(path)


def _of_weights(path: Path) -> Handformer2T:
    """Our variant of these weights. Its crop is that whose levels leave as many single elements to draw; it reads depth
    where its first layer has channels for it."""
    weights: Any = torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
    if not checkpoints.are_weights(weights) or _ELEMENTS not in weights or OF_HANDFORMER2T not in weights:
        raise TrainingError(f"{path}: expected weights of `hand_pose export handformer2t --save-weights`")
    closer = any(name.startswith(CLOSER) for name in weights)
    depth = weights[OF_HANDFORMER2T].shape[1] > COLORS
    refiners = {name.split(".")[1] for name in weights if name.startswith("refiners.")}
    chosen = {"stages": 1 + len(refiners), "depth_look": any(name.startswith("depth_look.") for name in weights)}
    for size, sides in itertools.product(PRESETS, range(2, _LARGEST_CROP // 32 + 1)):
        try:
            config = network_config(
                Handformer2TOptions(
                    SceneData(()),
                    size=size,
                    crop=32 * sides,
                    placed=True,
                    depth=depth,
                    closer_only=closer,
                    network=chosen,
                )
            )
        except TrainingError:  # the size's features are not made for so large a crop
            continue
        if config.elements(0) != len(weights[_ELEMENTS]):
            continue
        network = Handformer2T(config)
        try:
            network.load_state_dict(weights)
        except RuntimeError:
            continue
        return network
    raise TrainingError(f"{path}: expected weights of a network that --placed makes, these are another's")
