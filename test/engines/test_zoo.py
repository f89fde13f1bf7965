from __future__ import annotations

import os
from pathlib import Path

import pytest

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.zoo import find_model, known_models, model_folders, sha256


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAND_POSE_MODELS", str(tmp_path))
    (tmp_path / "palm.onnx").write_bytes(b"weights")
    return tmp_path


def test_a_name_is_found_in_the_folder_of_the_environment(folder: Path) -> None:
    assert find_model("palm") == folder / "palm.onnx"
    assert known_models()["palm"] == folder / "palm.onnx"


def test_the_environment_comes_first_and_workspaces_count(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path_factory.mktemp("install")
    share = prefix / "share" / "hand_pose_ros" / "models"
    share.mkdir(parents=True)
    (share / "palm.onnx").write_bytes(b"older")
    (share / "fist.onnx").write_bytes(b"other")
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["/nowhere", str(prefix)]))
    assert model_folders()[0] == folder and share in model_folders()
    assert find_model("palm").parent == folder
    assert find_model("fist").parent == share


def test_an_unknown_name_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(EngineError, match=r"one of: .*palm.*; got 'thumb'"):
        find_model("thumb")


def test_a_path_is_taken_as_it_is(folder: Path) -> None:
    assert find_model(str(folder / "palm.onnx")) == folder / "palm.onnx"
    with pytest.raises(EngineError, match="does not exist"):
        find_model(str(folder / "thumb.onnx"))


@pytest.mark.parametrize(
    ("card", "good"),
    [
        ("no checksum here", True),
        ("- sha256: {right}", True),
        ("| sha256 | `{right}` |", True),
        ("sha256: " + "0" * 64, False),
    ],
)
def test_a_card_guards_its_weights(folder: Path, card: str, good: bool) -> None:
    right = sha256(folder / "palm.onnx")
    (folder / "palm.md").write_text(card.replace("{right}", right))
    if good:
        assert find_model("palm").is_file()
    else:
        with pytest.raises(EngineError, match="expected sha256 0000.* as its card says, got " + right):
            find_model("palm")
