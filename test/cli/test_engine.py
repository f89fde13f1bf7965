"""`hand_pose engine` on doubles of TensorRT and CUDA."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import toy_models
from fake_cuda import FakeCudart
from fake_tensorrt import FakeTensorRt

from hand_pose_ros.cli import engine as command
from hand_pose_ros.cli import main as cli


@pytest.fixture
def trt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    cudart = FakeCudart()
    fake = FakeTensorRt(cudart)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cudart)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setenv("HAND_POSE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr(command, "_RUNS", 2)
    monkeypatch.setenv("HAND_POSE_MODELS", str(tmp_path))
    for name in ("first", "second"):
        graph = toy_models.GraphBuilder()
        graph.op("Mul", "a", graph.constant(len(name)), output="y")
        graph.save(tmp_path / f"{name}.onnx", {"a": ((2,), np.float32)}, {"y": (2,)}, {})
    return fake


def test_builds_once_and_lists(trt: FakeTensorRt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["engine", "list"]) == 0
    assert "no engines in" in capsys.readouterr().out
    for _ in range(2):
        assert cli.main(["engine", "build", "first", str(tmp_path / "second.onnx")]) == 0
        out = capsys.readouterr().out.splitlines()
        assert [line.partition(", ready")[0] for line in out] == [
            f"{name}.onnx: TensorRT 10.3.0, Orin (8.7), as in the file, CUDA graph" for name in ("first", "second")
        ]
    assert len(trt.builds) == 2
    assert cli.main(["engine", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("TensorRT 10.3.0, Orin (8.7), as in the file, tf32 off" in line for line in lines)


def test_the_models_of_a_parameter_file(trt: FakeTensorRt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("pipeline:\n  model: second\n  finder: {model: boxes}\n")
    assert cli.main(["engine", "build", "--config", str(file)]) == 0
    assert capsys.readouterr().out.startswith("second.onnx: ") and len(trt.builds) == 1
    assert cli.main(["engine", "build", "first", "--config", str(file)]) == 2
    assert "expected models or --config, got both" in capsys.readouterr().err


def test_check_compares_with_onnx_runtime(
    trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["engine", "check", "first"]) == 0
    out = capsys.readouterr().out
    assert "first.onnx: y: 0.00e+00 of the largest value, ok" in out
    assert "CUDA graph: " in out and "CPUExecutionProvider" in out and out.count("ms a run") == 2
    monkeypatch.setattr("fake_tensorrt.SKEW", 1.02)
    assert cli.main(["engine", "check", "first"]) == 1
    assert "first.onnx: y: 2.00e-02 of the largest value, DIFFERS" in capsys.readouterr().out
    assert cli.main(["engine", "check", "first", "--tolerance", "0.03"]) == 0
    assert cli.main(["engine", "check", "first", "--tolerance", "0"]) == 2


def test_without_tensorrt_it_says_what_to_install(
    trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert cli.main(["engine", "build", "first"]) == 2
    assert "the package tensorrt does not load" in capsys.readouterr().err
