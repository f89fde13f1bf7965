"""Weights in half precision: half the bytes, nearly the same numbers, biases untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from hand_pose_ros.engines.factory import create_engine  # noqa: E402
from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402
from hand_pose_ros.networks.onnx_half import store_weights_half  # noqa: E402


def layers(scale: float = 1.0) -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16 * 64, 5)
    )
    with torch.no_grad():
        net[0].weight.mul_(scale)
    return net


def test_half_the_bytes_and_nearly_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    write_graph(layers(), path, {"x": torch.zeros(1, 3, 8, 8)}, ["y"], {"model": "small"})
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    exact, size = create_engine(path, "onnxruntime", 1).run({"x": x})["y"].copy(), path.stat().st_size
    store_weights_half(path)
    engine = create_engine(path, "onnxruntime", 1)
    got = engine.run({"x": x})["y"]
    assert path.stat().st_size < 0.6 * size
    assert engine.metadata["model"] == "small"
    assert 0 < np.abs(got - exact).max() < 2e-3
    assert all(len(name) < 10 for node in onnx.load(str(path)).graph.node for name in (node.name, *node.output))
    kinds = {item.name: item.data_type for item in onnx.load(str(path)).graph.initializer}
    assert {kind for name, kind in kinds.items() if name.endswith("weight.half")} == {onnx.TensorProto.FLOAT16}
    assert {kind for name, kind in kinds.items() if name.endswith("bias")} == {onnx.TensorProto.FLOAT}


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    path = write_graph(layers(1e7), tmp_path / "net.onnx", {"x": torch.zeros(1, 3, 8, 8)}, ["y"], {})
    with pytest.raises(ValueError, match="65504"):
        store_weights_half(path)
