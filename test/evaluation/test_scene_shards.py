"""Networks on stored scenes: a network that knows the truth has no error, one that errs is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.evaluation.calibration import calibrating_factor, calibration
from hand_pose_ros.evaluation.scene_shards import (
    StoredScene,
    card_figures,
    predict,
    score_tables,
    scores,
    stored_scenes,
)
from hand_pose_ros.geometry.camera import project

COUNT, PIXELS, CROP = 12, 64, 32
STD_PX = 0.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    joints = rng.normal((0.0, 0.0, 0.7), 0.04, (COUNT, 2, 21, 3)).astype(np.float32)
    present = np.ones((COUNT, 2), dtype=bool)
    present[::4, 1] = False
    present[5] = False
    joints[~present] = 0
    arrays = {
        "color": rng.integers(0, 255, (COUNT, PIXELS, PIXELS, 3), dtype=np.uint8),
        "intrinsics": np.tile(np.array([150.0, 150.0, 31.5, 31.5], np.float32), (COUNT, 1)),
        "present": present,
        "joints": joints,
    }
    for number, chosen in enumerate((slice(0, 8), slice(8, None))):
        shard = tmp_path / f"scenes-{number:06d}"
        shard.mkdir()
        for name, values in arrays.items():
            np.save(shard / f"{name}.npy", values[chosen])
    return tmp_path


class Oracle:
    """Says the truth of each scene in turn, moved by `shift` (2,) crop pixels, and by `wrist` metres."""

    def __init__(self, folder: Path, shift: tuple[float, float] = (0.0, 0.0), wrist: float = 0.0) -> None:
        self.scenes = iter(list(stored_scenes(folder)))
        self.shift, self.wrist = np.array(shift), wrist

    def __call__(self, given: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        scene: StoredScene = next(self.scenes)
        uv, depth = np.zeros((2, 21, 2)), np.zeros((2, 21))
        matrix = scene.window().matrix(CROP)
        for hand in np.flatnonzero(scene.present):
            pixels = project(scene.joints[hand], scene.camera)
            uv[hand] = pixels @ matrix[:2, :2].T + matrix[:2, 2]
            depth[hand] = scene.joints[hand, :, 2] - scene.joints[hand, 0, 2]
        gap = float(scene.joints[1, 0, 2] - scene.joints[0, 0, 2])
        return {
            "uv": (uv + self.shift)[None],
            "depth": depth[None],
            "uv_std": np.full((1, 2, 21), STD_PX),
            "depth_std": np.full((1, 2, 21), 0.005),
            "presence": np.where(scene.present, 0.9, 0.1)[None],
            "wrist_depth": np.array([gap + self.wrist]),
        }


def test_the_truth_has_no_error(folder: Path) -> None:
    result = scores(predict(Oracle(folder), CROP, folder))
    assert result.epe < 1e-6
    assert max(result.hands.single, result.hands.interacting, result.hands.mrrpe) < 1e-6
    assert result.presence == result.absent == result.present == 1.0
    assert result.hands.pictures == (3, 8, 8)
    assert result.single_side == result.pair_sides == 1.0


def test_hands_on_the_wrong_side_are_seen(folder: Path) -> None:
    found = predict(Oracle(folder), CROP, folder)
    swapped = dataclasses.replace(found, joints=found.joints[:, ::-1], presence=found.presence[:, ::-1])
    result = scores(swapped)
    assert result.single_side == result.pair_sides == 0.0
    singles = scores(dataclasses.replace(found, presence=found.presence[:, ::-1]))
    assert (singles.single_side, singles.pair_sides) == (0.0, 1.0)


def test_errors_in_picture_and_between_the_wrists_are_seen(folder: Path) -> None:
    result = scores(predict(Oracle(folder, (3.0, 4.0), 0.02), CROP, folder))
    assert result.pixels == pytest.approx(5 / CROP, rel=1e-6)
    assert result.hands.mrrpe > 0.019
    # A shift of the whole hand is not an error from its own wrist, but for what is nearer or farther than it.
    assert result.epe < 0.005


def test_only_as_many_as_asked_for(folder: Path) -> None:
    assert len(list(stored_scenes(folder, 10))) == 10
    assert len(list(stored_scenes(folder))) == COUNT


def test_no_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="synth scenes"):
        list(stored_scenes(tmp_path))


@pytest.mark.parametrize("wrong", [0.25, 1.0, 3.0])
def test_a_factor_calibrates(wrong: float) -> None:
    rng = np.random.default_rng(0)
    std = rng.uniform(0.002, 0.02, (400, 21))
    errors = np.linalg.norm(rng.normal(size=(400, 21, 3)) * std[..., None], axis=-1)
    factor = calibrating_factor(errors, wrong * std)
    assert factor * wrong == pytest.approx(1.0, rel=0.05)
    assert calibration(errors, factor * wrong * std).error < 0.01


def test_cards_and_tables_name_everything(folder: Path) -> None:
    found = predict(Oracle(folder, (1.0, 0.0), 0.01), CROP, folder)
    figures = card_figures(found.part(slice(0, 6)), found.part(slice(6, None)), 1.5)
    assert float(figures["wrist_depth_std"]) == pytest.approx(0.01, abs=1e-4)
    assert {"mpjpe_single_mm", "mpjpe_interacting_mm", "mrrpe_mm", "calibration_error"} <= set(figures)
    text = "\n".join(table.text() for table in score_tables(scores(found)))
    assert "MRRPE" in text and "calibration error" in text
