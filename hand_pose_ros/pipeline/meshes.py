"""Meshes of the followed hands, and which hand model they are of: the user's MANO files or the bundled free hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from hand_pose_ros.config import ConfigError, PipelineConfig
from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.pipeline.estimator import DroppedHand
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, InvalidData, ManoParameters

SUFFIXES: Final = (".npz", ".pkl")


class Meshes:
    """Fits the hand model to followed hands; each track's shape settles over its frames."""

    def __init__(self, models: Mapping[Side, HandModel]) -> None:
        self.models = dict(models)
        self._fitters = {side: HandFitter(model) for side, model in self.models.items()}

    def fit(self, track: Track, joints: FloatArray) -> tuple[ManoParameters, FloatArray]:
        """Parameters and vertices (V, 3) metres of the track's hand with these joints (21, 3).

        Raises:
            DroppedHand: no hand has such joints ("degenerate").
        """
        if track.fitter is None or track.fitter.model.side is not track.hand.side:
            # A fitter only rebinds what it remembers, so copies share the model's prepared arrays.
            track.fitter = copy.copy(self._fitters[track.hand.side])
        try:
            return track.fitter.fit(joints)
        except (InvalidData, np.linalg.LinAlgError) as error:
            raise DroppedHand("degenerate") from error


def load_hand_models(config: PipelineConfig) -> dict[Side, HandModel]:
    """The models of both sides.

    Raises:
        ConfigError: `mano_path` is set and the folder lacks a file.
        ModelFileError: a file is not a hand model.
    """
    if not config.mano_path:
        return {side: HandModel.bundled(side) for side in Side}
    folder = Path(config.mano_path).expanduser()
    return {side: HandModel.from_file(_file(folder, side), side) for side in Side}


def _file(folder: Path, side: Side) -> Path:
    names = [f"MANO_{side.value.upper()}{suffix}" for suffix in SUFFIXES]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"mano_path: expected a folder with {' or '.join(names)}, {folder} has none; download MANO's files there, or "
        "leave mano_path empty for the bundled hand"
    )
