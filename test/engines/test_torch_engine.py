"""The torch engine on small graphs; every network's graph on it is tested in test_onnx_exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_models

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from hand_pose_ros.engines.base import EngineError  # noqa: E402
from hand_pose_ros.engines.factory import available_engines, create_engine  # noqa: E402
from hand_pose_ros.engines.torch_engine import TorchEngine  # noqa: E402
from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions and what lies between."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.Conv2d(16, 8, 1)
    )
    path = tmp_path_factory.mktemp("torch") / "layers.onnx"
    return write_graph(net, path, {"x": torch.zeros(1, 3, 8, 8)}, ["y"], {"model": "layers"})


def given() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-5),
        ({"channels_last": False}, 1e-5),
        ({"precision": "fp16"}, 5e-3),
        ({"precision": "bf16"}, 5e-2),
    ],
)
def test_the_numbers_of_onnxruntime(layers: Path, options: dict[str, object], tolerance: float) -> None:
    expected = create_engine(layers, "onnxruntime", 1).run(given())["y"]
    engine = TorchEngine(layers, 1, "cpu", **options)  # type: ignore[arg-type]
    gap = np.abs(engine.run(given())["y"] - expected).max()
    assert gap <= tolerance
    assert gap > 1e-5 or "precision" not in options  # else nothing was rounded
    assert engine.metadata["model"] == "layers"
    assert [str(spec) for spec in engine.inputs] == ["x float32 (1, 3, 8, 8)"]


def test_it_is_taken_when_it_is_asked_for(layers: Path) -> None:
    assert "torch" in available_engines()
    assert create_engine(layers, "torch").name == "torch"
    assert create_engine(layers).name != "torch"


def test_wrong_inputs_are_named(layers: Path) -> None:
    with pytest.raises(EngineError, match="expected input x float32"):
        TorchEngine(layers, 1).run({"x": np.zeros((1, 3, 8, 9), np.float32)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(layers: Path) -> None:
    with pytest.raises(EngineError, match="cuda was asked for, torch finds none"):
        TorchEngine(layers, device="cuda")


def test_an_operator_that_is_not_known(tmp_path: Path) -> None:
    graph = toy_models.GraphBuilder()
    graph.op("Sinh", "x", output="y")
    path = graph.save(tmp_path / "x.onnx", {"x": ((2, 3), np.float32)}, {"y": (2, 3)})
    with pytest.raises(EngineError, match="operator Sinh is not known here"):
        TorchEngine(path)


def test_half_of_a_half_file_is_refused(layers: Path, tmp_path: Path) -> None:
    model = onnx.load(str(layers))
    onnx.helper.set_model_props(model, {"precision": "fp16"})
    onnx.save(model, str(tmp_path / "half.onnx"))
    with pytest.raises(EngineError, match="expected a file in fp32"):
        TorchEngine(tmp_path / "half.onnx", precision="fp16")
