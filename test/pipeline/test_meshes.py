from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_scenes import Blob, toy_frame

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.options import ConfigError, replace
from hand_pose_ros.pipeline.estimator import DroppedHand, NetworkHand
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.meshes import Meshes
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray

F = np.float32


def posed(side: Side, betas: FloatArray) -> FloatArray:
    """Joints (21, 3) of a slightly bent hand of this shape."""
    model = HandModel.bundled(side)
    return model.forward(np.zeros(3, F), model.hand_mean, betas, np.array([0, 0, 0.6], F)).joints


def track_of(side: Side, joints: FloatArray) -> Track:
    return Track(1, NetworkHand(side, joints, np.full(21, 0.005, F), 0.9, 0.9), 0)


@pytest.mark.parametrize("side", list(Side))
def test_the_mesh_lies_on_the_joints(side: Side) -> None:
    joints = posed(side, np.zeros(10, F))
    meshes = Meshes(load_hand_models(PipelineConfig()))
    mano, vertices = meshes.fit(track_of(side, joints), joints)
    again = meshes.models[side].forward_parameters(mano)
    np.testing.assert_array_equal(vertices, again.vertices)
    assert np.linalg.norm(again.joints - joints, axis=1).mean() < 0.004


def test_each_track_has_its_own_shape() -> None:
    meshes = Meshes(load_hand_models(PipelineConfig()))
    large, small = (np.array([value, *[0] * 9], F) for value in (2.0, -2.0))
    tracks = [track_of(Side.RIGHT, posed(Side.RIGHT, betas)) for betas in (large, small)]
    for _ in range(20):
        betas = [meshes.fit(track, track.hand.joints)[0].betas for track in tracks]
    for track, own in zip(tracks, betas, strict=True):
        fresh = meshes.fit(track_of(Side.RIGHT, track.hand.joints), track.hand.joints)[0].betas
        assert np.sign(own[0]) == np.sign(fresh[0])
    assert abs(betas[0][0] - betas[1][0]) > 1.0


def test_a_track_that_changes_sides_begins_anew() -> None:
    meshes = Meshes(load_hand_models(PipelineConfig()))
    track = track_of(Side.RIGHT, posed(Side.RIGHT, np.zeros(10, F)))
    meshes.fit(track, track.hand.joints)
    track.hand = track_of(Side.LEFT, posed(Side.LEFT, np.zeros(10, F))).hand
    meshes.fit(track, track.hand.joints)
    assert track.fitter is not None and track.fitter.model.side is Side.LEFT


def test_joints_of_no_hand_drop_it() -> None:
    meshes = Meshes(load_hand_models(PipelineConfig()))
    joints = np.full((21, 3), np.nan, F)
    with pytest.raises(DroppedHand, match="degenerate"):
        meshes.fit(track_of(Side.RIGHT, joints), joints)


def test_the_pipeline_gives_meshes_when_asked(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    frame = toy_frame(Blob(Side.RIGHT, (0.1, 0.02, 0.6)))
    (hand,) = pipeline.process(frame).hands
    assert hand.mano is None and hand.vertices is None
    pipeline.reconfigure(replace(pipeline.config, {"mesh": True}))
    scene = pipeline.process(frame)
    (hand,) = scene.hands
    assert hand.mano is not None and hand.vertices is not None and scene.timings_ms["mesh"] > 0
    assert np.linalg.norm(hand.vertices.mean(axis=0) - hand.joints.mean(axis=0)) < 0.04


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
