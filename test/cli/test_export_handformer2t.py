"""`hand_pose export handformer2t`: a training's checkpoint, or its weights alone, become a calibrated model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_scene_shards import write_toy_scenes

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from hand_pose_ros.cli.main import main  # noqa: E402
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine  # noqa: E402
from hand_pose_ros.pipeline.handformer2t import Handformer2TNetwork  # noqa: E402
from hand_pose_ros.training import checkpoints  # noqa: E402
from hand_pose_ros.training.handformer2t_module import Handformer2TModule  # noqa: E402
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, network_config  # noqa: E402
from hand_pose_ros.training.optimisation import Schedule  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    config = network_config(Handformer2TOptions(SceneData(()), crop=64, placed=True))
    module = Handformer2TModule(config, Schedule(steps=1))
    state = {"global_step": 0, "state_dict": module.state_dict(), "network": module.configuration()}
    checkpoints.write(state, folder / "last.ckpt")
    write_toy_scenes(folder / "val", 8)
    return folder


def test_a_checkpoint_and_its_weights_alone_make_the_same_model(folder: Path) -> None:
    def export(source: Path, name: str, *more: str) -> OnnxRuntimeEngine:
        where = ["--checkpoint", str(source), "--validation", str(folder / "val"), "--out", str(folder / name)]
        assert main(["export", "handformer2t", *where, *more]) == 0
        engine = OnnxRuntimeEngine(folder / name, 1)
        assert Handformer2TNetwork(engine).size == 64
        return engine

    weights = folder / "weights.pt"
    whole = export(folder / "last.ckpt", "whole.onnx")
    half = export(folder / "last.ckpt", "half.onnx", "--half-weights", "--save-weights", str(weights))
    again = export(weights, "again.onnx")
    assert (folder / "half.onnx").stat().st_size < 0.6 * (folder / "whole.onnx").stat().st_size
    assert weights.stat().st_size < 0.6 * (folder / "last.ckpt").stat().st_size / 2
    crop = {"rgb": np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)}
    expected = whole.run(crop)
    for engine in (half, again):
        for name, value in engine.run(crop).items():
            np.testing.assert_allclose(value, expected[name], atol=0.05 if name == "uv" else 5e-3, rtol=2e-2)
