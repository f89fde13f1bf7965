"""`hand_pose export keypoint_transformer`: a trained network becomes a measured model with its card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from toy_scene_shards import toy_scenes

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from hand_pose_ros.cli.main import main  # noqa: E402
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine  # noqa: E402
from hand_pose_ros.evaluation.scene_calibration import object_level, presence_level  # noqa: E402
from hand_pose_ros.hand_model.model import HandModel  # noqa: E402
from hand_pose_ros.pipeline.keypoint_transformer import KeypointTransformerNetwork  # noqa: E402
from hand_pose_ros.skeleton import Side  # noqa: E402
from hand_pose_ros.training import checkpoints  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_module import KeypointTransformerModule  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_training import network_config, trained  # noqa: E402
from hand_pose_ros.training.optimisation import Schedule  # noqa: E402
from hand_pose_ros.types import ManoParameters  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    module = KeypointTransformerModule(network_config(objects=True, self_layers=0, crop=64), Schedule(steps=1))
    state = {"global_step": 0, "state_dict": module.state_dict(), "network": module.configuration()}
    checkpoints.write(state, folder / "last.ckpt")
    shard = folder / "val" / "scenes-000000"
    shard.mkdir(parents=True)
    extra = {"box": np.tile(np.float32([20, 20, 80, 80]), (8, 1)), "visible": np.ones((8, 2, 21), dtype=bool)}
    for name, array in {**toy_scenes(8), **extra}.items():
        np.save(shard / f"{name}.npy", array)
    return folder


def export(folder: Path, *more: str) -> int:
    where = ["--checkpoint", str(folder / "last.ckpt"), "--out", str(folder / "kt.onnx")]
    return main(["export", "keypoint_transformer", *where, *more])


def test_model_card_and_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--validation", str(folder / "val"), "--save-weights", str(folder / "kt.pt"), "--command", "how")
    assert export(folder, *more) == 0
    text = capsys.readouterr().out
    assert "mpjpe_interacting_mm" in text and "uv_std" in text
    card = (folder / "kt.md").read_text()
    for expected in ("command: how", "mssd_mm", "mrrpe_mm", "crop: 64 px, 1.25 times", "sha256", "with object"):
        assert expected in card, expected
    engine = OnnxRuntimeEngine(folder / "kt.onnx", 1)
    assert engine.metadata["crop_around_object"] == "False"
    network = KeypointTransformerNetwork(engine)
    assert network.size == 64 and network.margin == 1.25 and network.has_object and not network.around_object
    assert float(engine.metadata["uv_std"]) > 0 and 0 < float(engine.metadata["presence_level"]) < 1
    assert 0 < float(engine.metadata["object_level"]) < 1
    weights = torch.load(folder / "kt.pt", weights_only=True)
    stored = trained(folder / "last.ckpt").state_dict()
    assert all(torch.equal(weights[name], stored[name]) for name in stored)
    whole = (folder / "kt.onnx").stat().st_size
    assert export(folder, "--validation", str(folder / "val"), "--half-weights") == 0
    assert (folder / "kt.onnx").stat().st_size < 0.65 * whole
    KeypointTransformerNetwork(OnnxRuntimeEngine(folder / "kt.onnx", 1))


@pytest.mark.parametrize(
    ("more", "text"),
    [((), "shards of scenes to measure on"), (("--validation", "none"), "shards of scenes to measure on")],
)
def test_validation_is_needed(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], text: str
) -> None:
    assert export(folder, *more) == 2
    assert text in capsys.readouterr().err


def test_other_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder / "snapshot.pth.tar"
    torch.save({"epoch": 1}, other)
    where = ["export", "keypoint_transformer", "--checkpoint", str(other), "--out", str(folder / "a.onnx")]
    assert main(where) == 2
    assert "--published: expected one of" in capsys.readouterr().err
    assert main([*where, "--published", "interhand"]) == 2
    assert "expected a dict with the key 'network'" in capsys.readouterr().err
    state = checkpoints.read(folder / "last.ckpt")
    checkpoints.write({**state, "network": {}}, folder / "nameless.ckpt")
    where[3] = str(folder / "nameless.ckpt")
    assert main([*where, "--validation", str(folder / "val")]) == 2
    assert "without its network" in capsys.readouterr().err


def test_the_hand_is_posed_in_the_graph(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = KeypointTransformerModule(
        network_config(representation="angles", objects=False, self_layers=0, crop=64), Schedule(steps=1)
    )
    state = {"global_step": 0, "state_dict": module.state_dict(), "network": module.configuration()}
    checkpoints.write(state, folder / "angles.ckpt")
    where = ["export", "keypoint_transformer", "--checkpoint", str(folder / "angles.ckpt")]
    where += ["--validation", str(folder / "val"), "--out", str(folder / "angles.onnx")]
    rgb = {"rgb": np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)}
    assert main(where) == 0
    answer = OnnxRuntimeEngine(folder / "angles.onnx", 1).run(rgb)
    for side, found, turns in zip((Side.RIGHT, Side.LEFT), answer["joints"][0], answer["pose"][0], strict=True):
        nowhere = np.zeros(3, dtype=np.float32)
        parameters = ManoParameters(turns[0], turns[1:].reshape(45), answer["shape"][0], nowhere)
        expected = HandModel.bundled(side).forward_parameters(parameters).joints
        np.testing.assert_allclose(found, expected - expected[0], atol=1e-4)
    assert main([*where, "--hand-model", str(folder / "val")]) == 2
    assert "MANO_LEFT.npz or MANO_LEFT.pkl" in capsys.readouterr().err
    assert export(folder, "--validation", str(folder / "val"), "--hand-model") == 2
    assert "expected a network that gives angles, this one gives '3d'" in capsys.readouterr().err


def test_presence_level_divides() -> None:
    presence = np.array([0.9, 0.8, 0.72, 0.6, 0.65, 0.1])
    level = presence_level(presence, np.array([True, True, True, False, False, False]))
    assert 0.65 <= level <= 0.72


def test_object_level_tells_most_pictures_right() -> None:
    """Few pictures have an object: one of two is given up so that none of six is invented."""
    presence = np.array([0.9, 0.3, 0.1, 0.2, 0.31, 0.4, 0.5, 0.6])
    level = object_level(presence, np.array([True, True, *[False] * 6]))
    assert 0.6 <= level < 0.9


def test_configurations_survive_a_checkpoint(folder: Path) -> None:
    config = trained(folder / "last.ckpt").config
    assert dataclasses.asdict(config) == dataclasses.asdict(network_config(objects=True, self_layers=0, crop=64))
