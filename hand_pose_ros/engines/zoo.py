"""Where the models are: names become files.

A name stands for `<name>.onnx` in the first of: the folder in the environment variable HAND_POSE_MODELS, `models/` of
a checkout, `share/hand_pose_ros/models` of each ROS workspace (AMENT_PREFIX_PATH) and of the Python environment. A card
`<name>.md` beside the file states its sha256 on a line `sha256: <hex>`; a file that does not match is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Final

from hand_pose_ros.engines.base import EngineError

# Ends the name of a file that serves the model beside it (`pipeline.followed_looks`), and is none by itself.
FOLLOWED: Final = ".followed"
_SHA256: Final = re.compile(r"sha256\W+([0-9a-f]{64})", re.IGNORECASE)


def model_folders() -> tuple[Path, ...]:
    """The folders that are looked through, first one first; those that do not exist are left out."""
    share = Path("share") / "hand_pose_ros" / "models"
    candidates: list[Path] = []
    if os.environ.get("HAND_POSE_MODELS"):
        candidates.append(Path(os.environ["HAND_POSE_MODELS"]))
    candidates.append(Path(__file__).resolve().parents[2] / "models")
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    candidates.extend(Path(prefix) / share for prefix in prefixes)
    candidates.append(Path(sys.prefix) / share)
    return tuple(dict.fromkeys(folder for folder in candidates if folder.is_dir()))


def known_models() -> dict[str, Path]:
    """Every model that can be named, with its file."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.glob("*.onnx")):
            if not path.stem.endswith(FOLLOWED):
                found.setdefault(path.stem, path)
    return found


def find_model(name: str) -> Path:
    """The file of a model given by name or by path; a named model is checked against its card.

    Raises:
        EngineError: no such model (the text lists the known ones), or a file that does not match its card.
    """
    if "/" in name or "\\" in name or Path(name).suffix in (".onnx", ".pt", ".ckpt"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise EngineError(f"model: expected a file, {path} does not exist")
        return path
    models = known_models()
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        searched = ", ".join(map(str, model_folders())) or "no folder"
        raise EngineError(
            f"model: expected a path to an .onnx file or one of: {known}; got {name!r} (in {searched}); "
            "`hand_pose export` makes models of trained weights and of the papers' published ones"
        )
    verify(models[name])
    return models[name]


def sha256(path: Path) -> str:
    """The file's sha256 as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verify(path: Path) -> None:
    """Compare a model file with the sha256 of the card beside it, where there is one.

    Raises:
        EngineError: they differ (a broken download, a Git LFS pointer, or weights newer than their card).
    """
    card = path.with_suffix(".md")
    stated = _SHA256.search(card.read_text(encoding="utf-8")) if card.is_file() else None
    if stated is None:
        return
    actual = sha256(path)
    if actual != stated.group(1).lower():
        raise EngineError(
            f"{path}: expected sha256 {stated.group(1)} as its card says, got {actual}; fetch the file anew, or "
            f"correct {card.name} if the weights were replaced on purpose"
        )


def require_made_for(model: Path, path: Path, version: tuple[int, int], made_for: str, remedy: str) -> None:
    """Refuse what lies beside a model and was learnt on another one.

    Args:
        model: the network's file.
        path: what was learnt on it.
        version: of the features it reads, as they are and as it states them.
        made_for: sha256 of the network that it states.
        remedy: ends the text.

    Raises:
        EngineError: another version, or another network.
    """
    wanted, got = version
    if got != wanted:
        raise EngineError(f"{path}: expected features of version {wanted}, got {got}; {remedy}")
    if made_for != sha256(model):
        raise EngineError(f"{path}: expected weights learnt on {model.name} as it is, got those of another; {remedy}")
