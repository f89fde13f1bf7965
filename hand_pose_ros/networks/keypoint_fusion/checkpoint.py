"""Where a checkpoint file of the authors becomes a network."""

from __future__ import annotations

from pathlib import Path

from hand_pose_ros.networks.keypoint_fusion.authors import (
    AuthorsKeypointFusion,
    load_authors_state_dict,
    read_authors_checkpoint,
    recognise,
)
from hand_pose_ros.networks.keypoint_fusion.config import KeypointFusionConfig


def load_checkpoint(path: Path | str) -> AuthorsKeypointFusion:
    """The published network of a checkpoint file in the authors' layout, in eval mode, on the CPU.

    The file is a dict of "model" (a state dict with the prefix `module.`), "optimizer" and "epoch", as
    `KPFusion_Dexycb_s0.pth` is. The backbone (ResNet-18 or ConvNeXt-T) is recognised from the keys.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a checkpoint; the text lists what differs.
    """
    path = Path(path)
    state = read_authors_checkpoint(path)
    try:
        network = AuthorsKeypointFusion(KeypointFusionConfig(size=recognise(state), variant="authors"))
        load_authors_state_dict(network, state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return network.eval()
