from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import toy_models

from hand_pose_ros.engines.base import (
    EngineError,
    TensorSpec,
    default_threads,
    require_contract,
    warm_up,
)
from hand_pose_ros.engines.factory import available_engines, create_engine
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, available_providers


def small_model(path: Path) -> Path:
    graph = toy_models.GraphBuilder()
    graph.op("Mul", graph.cast("a"), "b", output="y")
    inputs = {"a": ((2, 3), np.uint8), "b": ((2, 3), np.float32)}
    return graph.save(path, inputs, {"y": (2, 3)}, {"license": "Apache-2.0"})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(small_model(tmp_path_factory.mktemp("models") / "small.onnx"), threads=1)


def test_runs_and_describes_itself(engine: OnnxRuntimeEngine) -> None:
    a = np.arange(6, dtype=np.uint8).reshape(2, 3)
    out = engine.run({"a": a, "b": np.full((2, 3), 0.5, np.float32)})
    np.testing.assert_array_equal(out["y"], a * 0.5)
    assert [str(spec) for spec in engine.inputs] == ["a uint8 (2, 3)", "b float32 (2, 3)"]
    assert engine.metadata == {"license": "Apache-2.0"}
    assert "CPUExecutionProvider" in engine.description and "1 thread" in engine.description


A, B = np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": A}, r"expected inputs a, b, got a$"),
        ({"a": A, "b": B, "c": B}, r"got a, b, c"),
        ({"a": A, "b": B[:1]}, r"expected input b float32 \(2, 3\), got float32 \(1, 3\)"),
        ({"a": A, "b": B.astype(np.float64)}, r"got float64"),
    ],
)
def test_wrong_inputs_are_named(engine: OnnxRuntimeEngine, inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        engine.run(inputs)


def test_warm_up_fills_every_input(engine: OnnxRuntimeEngine) -> None:
    warm_up(engine)


FLOAT, BYTE = np.dtype(np.float32), np.dtype(np.uint8)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([TensorSpec("a", (2, 3), BYTE), TensorSpec("b", (None, 3), FLOAT)], [TensorSpec("y", (2, 3), FLOAT)], None),
        ([TensorSpec("a", (2, 3), BYTE)], [], "inputs that are not known here: b"),
        ([TensorSpec("a", (2, 3), BYTE), TensorSpec("b", (2, 4), FLOAT)], [], r"expected input b float32 \(2, 4\)"),
        (
            [TensorSpec("a", (2, 3), BYTE), TensorSpec("b", (2, 3), FLOAT)],
            [TensorSpec("z", (2, 3), FLOAT)],
            "expected output z float32 .* the network has y",
        ),
    ],
)
def test_contract(
    engine: OnnxRuntimeEngine, inputs: list[TensorSpec], outputs: list[TensorSpec], message: str | None
) -> None:
    if message is None:
        require_contract(engine, "small", inputs, outputs)
        return
    with pytest.raises(EngineError, match=message):
        require_contract(engine, "small", inputs, outputs)


@pytest.mark.parametrize("content", [b"", b"not a model", b"version https://git-lfs.github.com/spec/v1\noid 0\n"])
def test_broken_file_is_an_engine_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"cannot load .*broken\.onnx"):
        create_engine(path)


def test_provider_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="provider CoreMLExecutionProvider was asked for, this build has"):
        OnnxRuntimeEngine(small_model(tmp_path / "m.onnx"), provider="CoreMLExecutionProvider")


def test_other_engines_say_what_is_available(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"engine tensorrt was asked for.*available: onnxruntime"):
        create_engine(small_model(tmp_path / "m.onnx"), "tensorrt")


def test_a_provider_is_asked_for_by_name(tmp_path: Path) -> None:
    path = small_model(tmp_path / "m.onnx")
    assert "CPUExecutionProvider" in create_engine(path, "onnxruntime-cpu", 1).description
    for name in {"CUDAExecutionProvider", "TensorrtExecutionProvider"} - set(available_providers()):
        engine = "onnxruntime-cuda" if name.startswith("CUDA") else "onnxruntime-tensorrt"
        with pytest.raises(EngineError, match=f"provider {name} was asked for, this build has"):
            create_engine(path, engine)


def test_torch_says_what_it_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hand_pose_ros.engines.factory.available_engines", lambda: ("onnxruntime",))
    with pytest.raises(EngineError, match=r"engine torch was asked for.*available: onnxruntime"):
        create_engine(small_model(tmp_path / "m.onnx"), "torch")


def test_a_checkpoint_is_to_be_exported_first(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"last\.ckpt: expected an \.onnx file.*hand_pose export"):
        create_engine(tmp_path / "last.ckpt", "torch")


def test_auto_takes_onnxruntime_and_logs_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        engine = create_engine(small_model(tmp_path / "m.onnx"))
    assert engine.name in available_engines()
    assert engine.description in caplog.text


def test_threads_default_to_half_of_the_cores(tmp_path: Path) -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert default_threads() == max(1, usable // 2)
    path = small_model(tmp_path / "m.onnx")
    assert OnnxRuntimeEngine(path).threads == default_threads()
    assert OnnxRuntimeEngine(path, threads=3).threads == 3


@pytest.mark.parametrize(
    ("flags", "machine", "warns"),
    [("avx2 fma", "x86_64", True), ("avx2 avx_vnni", "x86_64", False), ("asimd", "aarch64", False)],
)
def test_bytes_on_a_processor_that_overflows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flags: str,
    machine: str,
    warns: bool,
) -> None:
    graph = toy_models.GraphBuilder()
    graph.op("Sinh", "x", output="y")
    path = graph.save(tmp_path / "b.onnx", {"x": ((2, 3), np.float32)}, {"y": (2, 3)}, {"precision": "int8"})
    info = tmp_path / "cpuinfo"
    info.write_text(f"flags : {flags}")
    monkeypatch.setattr("hand_pose_ros.engines.onnxruntime_engine._CPU_INFO", info)
    monkeypatch.setattr("platform.machine", lambda: machine)
    OnnxRuntimeEngine(path, 1)
    assert ("loses accuracy" in caplog.text) is warns
