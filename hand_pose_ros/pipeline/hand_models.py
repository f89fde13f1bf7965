"""Which hand model is used: the user's MANO files, or the bundled licence-free hand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.options import ConfigError
from hand_pose_ros.skeleton import Side

SUFFIXES: Final = (".npz", ".pkl")


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
