from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.config import ConfigError, PipelineConfig
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.skeleton import Side


def test_without_files_the_bundled_hand_is_taken() -> None:
    models = load_hand_models(PipelineConfig())
    assert {side: model.side for side, model in models.items()} == {side: side for side in Side}


def test_the_users_files_are_found_in_their_folder(tmp_path: Path) -> None:
    for side in Side:
        model = HandModel.bundled(side)
        arrays = {item.name: getattr(model, item.name) for item in dataclasses.fields(model) if item.init}
        del arrays["side"]
        np.savez(tmp_path / f"MANO_{side.value.upper()}.npz", **arrays)
    models = load_hand_models(PipelineConfig(mano_path=str(tmp_path)))
    for side in Side:
        np.testing.assert_array_equal(models[side].v_template, HandModel.bundled(side).v_template)


def test_a_folder_without_them_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a folder with MANO_\w+\.npz or MANO_\w+\.pkl, .* has none"):
        load_hand_models(PipelineConfig(mano_path=str(tmp_path)))
