"""The authors' checkpoint files: both generations of key names, and what differs where a file is another network's."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer.model import KeypointTransformer

# Ours begins with the left, theirs with the right.
_NAMES: Final = (
    ("backbone.", "backbone_net.resnet."),
    ("decoder.", "decoder_net.resnet_decoder."),
    ("self_attention.", "transformer.encoder."),
    ("cross_attention.", "transformer.decoder."),
    ("hand_token.", "linear1."),
    ("object_token.", "linear1_obj."),
    ("queries.", "query_embed."),
    ("identity.", "linear_class."),
    ("hand_type.", "linear_bottleneck_hand_type."),
    ("heads.joint_vectors.", "linear_joint_vecs."),
    ("heads.bins_x.", "linear_joint_2p5d_px."),
    ("heads.bins_y.", "linear_joint_2p5d_py."),
    ("heads.bins_depth.", "linear_joint_2p5d_dep."),
    ("heads.pose.", "linear_pose."),
    ("heads.shape.", "linear_shape."),
    ("heads.camera.", "linear_cam."),
    ("heads.hand_translation.", "linear_rel_trans."),
    ("heads.object_rotation.", "linear_obj_rot."),
    ("heads.object_translation.", "linear_obj_rel_trans."),
    ("heads.object_left_translation.", "linear_obj_left_rel_trans."),
    ("heads.object_corners.", "linear_obj_corner_proj."),
)
# Stored in every file, read by nothing (fact sheet section 2.9).
_UNUSED: Final = re.compile(r"^(norm1|linear_hand_type)\.")
_OLD_DECODER: Final = re.compile(r"^decoder_net\.(?!resnet_decoder\.)")
_LISTED: Final = 12


class WrongCheckpoint(ValueError):
    """A file that does not hold the expected network; the text lists what differs."""


def load_checkpoint(network: KeypointTransformer, path: Path) -> None:
    """Put a published file (dict of epoch, network, optimizer, lr_scheduler) into a network of variant "authors".

    Tensors and plain containers only are unpickled.

    Raises:
        WrongCheckpoint: it is not such a file, or it holds another network.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise WrongCheckpoint(
            f"{path}: expected a file of tensors and plain containers that torch.load reads with weights_only=True"
        ) from error
    if not isinstance(stored, Mapping) or not isinstance(stored.get("network"), Mapping):
        found = sorted(map(str, stored)) if isinstance(stored, Mapping) else type(stored).__name__
        raise WrongCheckpoint(f"{path}: expected a dict with the key 'network' holding a state dict, got {found}")
    try:
        load_published_state(network, stored["network"])
    except WrongCheckpoint as error:
        raise WrongCheckpoint(f"{path}: {error}") from error


def load_published_state(network: KeypointTransformer, state: Mapping[str, Tensor]) -> None:
    """Put a published state dict of either generation, with or without `module.`, into a network.

    Raises:
        WrongCheckpoint: the network is not of variant "authors", or a tensor is missing, unknown or of another shape.
    """
    if network.config.variant != "authors":
        raise WrongCheckpoint("published weights need KeypointTransformerConfig(variant='authors'), see published()")
    given = {modern_name(key): value for key, value in state.items()}
    given = {key: value for key, value in given.items() if not _UNUSED.match(key)}
    own = {published_name(name): (name, value) for name, value in network.state_dict().items()}
    differences = [
        ("missing", sorted(own.keys() - given.keys())),
        ("unknown", sorted(given.keys() - own.keys())),
        (
            "of another shape",
            sorted(
                f"{key} {tuple(given[key].shape)} for {tuple(own[key][1].shape)}"
                for key in own.keys() & given.keys()
                if given[key].shape != own[key][1].shape
            ),
        ),
    ]
    if any(names for _, names in differences):
        listed = "; ".join(f"{title}: {_list(names)}" for title, names in differences if names)
        raise WrongCheckpoint(f"the state dict is not that of {network.config}: {listed}")
    network.load_state_dict({own[key][0]: value for key, value in given.items()})


def modern_name(key: str) -> str:
    """A stored key without `module.`, in the newer generation's spelling."""
    return _OLD_DECODER.sub("decoder_net.resnet_decoder.", key.removeprefix("module."))


def published_name(name: str) -> str:
    """Our parameter's name in the authors' network."""
    for ours, theirs in _NAMES:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise KeyError(name)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
